//! `bakelite check`

use std::process::ExitCode;

use super::Outcome;
use crate::arguments::RecipeArguments;
use crate::ui::Ui;

pub(super) fn run(command: &RecipeArguments, ui: &mut Ui) -> Outcome {
    let recipe = image_builder::recipe::load(&command.recipe)?;
    let overlays: Vec<&str> = recipe
        .overlays
        .iter()
        .map(|overlay| overlay.name.as_str())
        .collect();
    let value =
        serde_json::json!({ "name": recipe.name, "version": recipe.version, "overlays": overlays });
    let text = format!(
        "{} {}: {} overlays, {} packages asked for, no problems",
        recipe.name,
        recipe.version,
        overlays.len(),
        recipe.packages.len()
    );
    ui.answer(&text, &value);
    Ok(ExitCode::SUCCESS)
}
