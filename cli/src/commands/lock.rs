//! `bakelite lock`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use image_builder::lock::{Change, Lock, compare};
use image_builder::pipeline::BuildError;

use super::Outcome;
use crate::arguments::{Arguments, LockArguments};
use crate::ui::Ui;

/// Returns where a recipe's lock lies: `recipes/kvm.toml` → `recipes/kvm.lock`.
pub(super) fn beside(recipe: &Path) -> PathBuf {
    recipe.with_extension("lock")
}

pub(super) fn run(arguments: &Arguments, command: &LockArguments, ui: &mut Ui) -> Outcome {
    let (recipe, host) = super::load(arguments, &command.recipe)?;
    let file = command
        .output
        .clone()
        .unwrap_or_else(|| beside(&command.recipe));
    let lock = Lock::resolve(&recipe, &host).map_err(BuildError::from)?;
    let before = Lock::read(&file)
        .map(|lock| versions(&lock))
        .unwrap_or_default();
    lock.write(&file).map_err(BuildError::from)?;
    let changes = if before.is_empty() {
        Vec::new()
    } else {
        compare(&before, &versions(&lock))
    };
    let mut text = format!(
        "{}: {} packages in the image, {} for the build\n",
        file.display(),
        lock.image.len(),
        lock.tools.len() + lock.toolchain.len() + lock.sysroot.len() + lock.emulator.len()
    );
    for change in &changes {
        writeln!(text, "  {}", describe(change)).expect("strings take everything");
    }
    ui.answer(
        &text,
        &serde_json::json!({ "lock": file, "packages": lock.image.len(), "changes": changes }),
    );
    Ok(ExitCode::SUCCESS)
}

fn versions(lock: &Lock) -> BTreeMap<String, String> {
    lock.image
        .iter()
        .map(|package| (package.name.clone(), package.version.to_string()))
        .collect()
}

/// Writes a change as one line.
pub(super) fn describe(change: &Change) -> String {
    match change {
        Change::Added(name) => format!("+ {name}"),
        Change::Removed(name) => format!("- {name}"),
        Change::Changed { name, from, to } => format!("~ {name} {from} → {to}"),
    }
}
