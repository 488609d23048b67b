//! `bakelite diff`

use std::fmt::Write as _;
use std::process::ExitCode;

use image_builder::diff;

use super::Outcome;
use crate::arguments::DiffArguments;
use crate::ui::{Ui, size};

pub(super) fn run(command: &DiffArguments, ui: &mut Ui) -> Outcome {
    let before = diff::read_manifest(&command.before)?;
    let after = diff::read_manifest(&command.after)?;
    let diff = diff::diff(&before, &after);
    let mut text = format!(
        "{} {} → {} {}\n",
        before.name, before.version, after.name, after.version
    );
    if diff.same_image {
        text.push_str("  the images are the same, byte for byte\n");
    } else {
        for change in &diff.packages {
            writeln!(text, "  {}", super::lock::describe(change)).expect("strings take everything");
        }
        if let Some((from, to)) = &diff.kernel {
            writeln!(text, "  kernel {from} → {to}").expect("strings take everything");
        }
        for (name, (from, to)) in [("image", diff.image_size), ("download", diff.download_size)] {
            writeln!(text, "  {name} {} → {}", size(from), size(to))
                .expect("strings take everything");
        }
    }
    ui.answer(&text, &diff);
    Ok(ExitCode::SUCCESS)
}
