//! `bakelite shell`

use std::process::ExitCode;

use image_builder::pipeline;

use super::Outcome;
use crate::arguments::{Arguments, BuildArguments};
use crate::ui::Ui;

pub(super) fn run(arguments: &Arguments, command: &BuildArguments, ui: &mut Ui) -> Outcome {
    let (recipe, host) = super::load(arguments, &command.recipe)?;
    ui.status("changes made in this shell are thrown away");
    let code = pipeline::shell(
        &recipe,
        &host,
        &super::build::options(command),
        &mut |event| ui.event(&event),
    )?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
