//! `bakelite plan`

use std::fmt::Write as _;
use std::process::ExitCode;

use image_builder::pipeline;

use super::Outcome;
use crate::arguments::{Arguments, BuildArguments};
use crate::ui::{Ui, size};

pub(super) fn run(arguments: &Arguments, command: &BuildArguments, ui: &mut Ui) -> Outcome {
    let (recipe, host) = super::load(arguments, &command.recipe)?;
    let plan = pipeline::plan(&recipe, &host, &super::build::options(command))?;
    let mut text = String::new();
    for step in &plan.steps {
        let what = if step.cached { "unchanged" } else { "build" };
        writeln!(text, "  {:<12} {what:<10} {}", step.step, step.why)
            .expect("strings take everything");
    }
    let downloads = if plan.downloads == 0 {
        "nothing to download".to_owned()
    } else {
        format!(
            "{} packages to download ({})",
            plan.downloads,
            size(plan.download_bytes)
        )
    };
    writeln!(
        text,
        "{} {}: {} packages, {downloads}, scripts {}",
        recipe.name, recipe.version, plan.packages, plan.emulation
    )
    .expect("strings take everything");
    ui.answer(&text, &plan);
    Ok(ExitCode::SUCCESS)
}
