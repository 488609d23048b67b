//! One module a command.

pub(crate) mod worker;
mod check;
mod lock;
mod plan;
mod build;
mod diff;
mod boot;
mod shell;
mod inspect;
mod publish;
mod keys;
mod verify;
mod hash;
mod release;
mod doctor;
mod cache;
mod channel;
mod device;
mod devices;
mod flash;
mod flash_log;

use std::process::ExitCode;

use clap::CommandFactory as _;
use image_builder::{Host, Recipe};

use crate::arguments::{Arguments, Command};
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

type Outcome = Result<ExitCode, CommandError>;

/// Runs the command.
pub(crate) fn run(arguments: &Arguments, ui: &mut Ui) -> Outcome {
    match &arguments.command {
        Command::Check(command) => check::run(command, ui),
        Command::Lock(command) => lock::run(arguments, command, ui),
        Command::Plan(command) => plan::run(arguments, command, ui),
        Command::Build(command) => build::run(arguments, command, ui),
        Command::Diff(command) => diff::run(command, ui),
        Command::Boot(command) => boot::run(arguments, command, ui),
        Command::Shell(command) => shell::run(arguments, command, ui),
        Command::Inspect(command) => inspect::run(command, ui),
        Command::Verify(command) => verify::run(arguments, command, ui),
        Command::Hash(command) => hash::run(command, ui),
        Command::Release(command) => release::run(command, ui),
        Command::Devices(command) => devices::run(command, ui),
        Command::Flash(command) => flash::run(command, arguments, ui),
        Command::FlashLog(command) => flash_log::run(command, ui),
        Command::UsbBoot(command) => flash::boards::run(command, ui),
        Command::Device(command) => device::run(command, ui),
        Command::Keys(command) => keys::run(command, ui),
        Command::Publish(command) => publish::publish(command, ui),
        Command::Channel(command) => channel::run(command, ui),
        Command::Doctor => doctor::run(arguments, ui),
        Command::Cache(command) => cache::run(arguments, command, ui),
        Command::Completions { shell } => {
            clap_complete::generate(
                *shell,
                &mut Arguments::command(),
                "bakelite",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            fs_err::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
                .map_err(CommandError::io("write the manual pages"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Loads a recipe, and the host with the recipe's mirrors where nothing stronger is set.
fn load(arguments: &Arguments, recipe: &std::path::Path) -> Result<(Recipe, Host), CommandError> {
    let recipe = image_builder::recipe::load(recipe)?;
    let mut host = environment::host(arguments)?;
    for (archive, mirror) in &recipe.mirrors {
        if !arguments
            .mirror
            .iter()
            .any(|pair| pair.starts_with(&format!("{archive}=")))
        {
            host.mirrors.set(archive, mirror);
        }
    }
    Ok((recipe, host))
}
