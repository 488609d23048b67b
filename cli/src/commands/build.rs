//! `bakelite build`

use std::process::ExitCode;

use image_builder::pipeline::{self, BuildOptions, Built};
use image_builder::worker::base::Emulation;

use super::Outcome;
use crate::arguments::{Arguments, BuildArguments};
use crate::ui::{Ui, size};

/// Translates the command line.
pub(super) fn options(command: &BuildArguments) -> BuildOptions {
    BuildOptions {
        out: std::path::absolute(&command.out).unwrap_or_else(|_| command.out.clone()),
        lock: command
            .lock
            .clone()
            .or_else(|| command.locked.then(|| super::lock::beside(&command.recipe))),
        emulation: if command.strict_emulation {
            Emulation::Strict
        } else {
            Emulation::Accelerated
        },
    }
}

pub(super) fn run(arguments: &Arguments, command: &BuildArguments, ui: &mut Ui) -> Outcome {
    let (recipe, host) = super::load(arguments, &command.recipe)?;
    let built = pipeline::build(&recipe, &host, &options(command), &mut |event| {
        ui.event(&event);
    })?;
    let value = serde_json::json!({
        "folder": built.folder, "image": built.image, "candidate": built.candidate, "files": built.files,
        "up-to-date": built.up_to_date, "report": built.report,
    });
    ui.answer(&describe(&built), &value);
    Ok(ExitCode::SUCCESS)
}

fn describe(built: &Built) -> String {
    let image = built
        .image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = built.files.iter().find(|file| file.name == image);
    let facts = file
        .map(|file| format!("{}, sha256 {}", size(file.size), file.sha256))
        .unwrap_or_default();
    let time = if built.up_to_date {
        "up to date".to_owned()
    } else {
        format!("{:.1} s", built.report.total_seconds)
    };
    format!(
        "{}\n  {facts}\n  candidate {}\n  {time}",
        built.image.display(),
        built.candidate
    )
}
