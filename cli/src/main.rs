//! `bakelite`: the one command that people type. The only crate that prints, reads the environment
//! and asks the time.

mod arguments;
mod ui;
mod environment;
mod commands;
mod command_error;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Workers are started by this program for itself; they never reach the command line's parser.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "__worker") {
        return ExitCode::from(commands::worker::run(words.next().as_ref()));
    }
    let arguments = arguments::Arguments::parse();
    let mut ui = ui::Ui::new(&arguments);
    match commands::run(&arguments, &mut ui) {
        Ok(code) => code,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
