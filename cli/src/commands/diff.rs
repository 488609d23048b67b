//! `bakelite diff`

use std::fmt::Write as _;
use std::process::ExitCode;

use image_builder::diff::{self, Build, Changed, Diff, FileFacts, Kind};

use super::Outcome;
use crate::arguments::DiffArguments;
use crate::command_error::CommandError;
use crate::ui::{Ui, size};

pub(super) fn run(command: &DiffArguments, ui: &mut Ui) -> Outcome {
    let before = Build::read(&command.before)?;
    let after = Build::read(&command.after)?;
    let scratch = tempfile::tempdir().map_err(CommandError::io("make a temporary folder"))?;
    let diff = diff::diff(&before, &after, scratch.path())?;
    let title = format!(
        "{} {} → {} {}\n",
        before.manifest.name, before.manifest.version, after.manifest.name, after.manifest.version
    );
    ui.answer(&(title + &describe(&diff)), &diff);
    Ok(ExitCode::SUCCESS)
}

fn describe(diff: &Diff) -> String {
    if diff.same_image {
        return "  the images are the same, byte for byte\n".into();
    }
    let mut lines: Vec<String> = Vec::new();
    lines.extend(diff.packages.iter().map(super::lock::describe));
    if let Some((from, to)) = &diff.kernel {
        lines.push(format!("kernel {from} → {to}"));
    }
    for change in &diff.boot_files {
        let sizes = (
            change.before.as_ref().map(|f| f.size),
            change.after.as_ref().map(|f| f.size),
        );
        lines.push(format!(
            "{} boot: {}{}",
            sign(change),
            change.name,
            grown(sizes)
        ));
    }
    let (times, files): (Vec<_>, Vec<_>) = diff.files.iter().partition(|c| only_time(c));
    for change in files {
        let sizes = (
            change.before.as_ref().and_then(length),
            change.after.as_ref().and_then(length),
        );
        lines.push(format!(
            "{} {}{}{}",
            sign(change),
            change.name,
            grown(sizes),
            aspects(change)
        ));
    }
    match times.len() {
        0 => {}
        1 => lines.push(format!(
            "the time of {}, and nothing else of it",
            times[0].name
        )),
        count => lines.push(format!(
            "the times of {count} more files, and nothing else of them"
        )),
    }
    for (name, (from, to)) in [("image", diff.image_size), ("download", diff.download_size)] {
        lines.push(format!("{name} {} → {}", size(from), size(to)));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "  {line}").expect("strings take everything");
        text
    })
}

fn sign<T>(change: &Changed<T>) -> char {
    match (&change.before, &change.after) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    }
}

fn grown(sizes: (Option<u64>, Option<u64>)) -> String {
    match sizes {
        (Some(from), Some(to)) if from != to => format!(" {} → {}", size(from), size(to)),
        (None, Some(only)) | (Some(only), None) => format!(" {}", size(only)),
        _ => String::new(),
    }
}

const fn length(facts: &FileFacts) -> Option<u64> {
    match facts.kind {
        Kind::File { size, .. } => Some(size),
        _ => None,
    }
}

const fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } => "file",
        Kind::Folder => "folder",
        Kind::Link { .. } => "link",
        Kind::Device => "device",
        Kind::Other => "other",
    }
}

fn only_time(change: &Changed<FileFacts>) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let mut before = before.clone();
            before.modified = after.modified;
            before == *after
        }
        _ => false,
    }
}

/// Says what else than the size changed: ` (mode 0644 → 0755, contents)`.
fn aspects(change: &Changed<FileFacts>) -> String {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return String::new();
    };
    let target = |facts: &FileFacts| match &facts.kind {
        Kind::Link { target } => target.clone(),
        _ => String::new(),
    };
    let mut aspects: Vec<String> = [
        ("", name(&before.kind).into(), name(&after.kind).into()),
        ("mode ", before.mode.clone(), after.mode.clone()),
        ("owner ", before.owner.clone(), after.owner.clone()),
        ("link ", target(before), target(after)),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .map(|(name, from, to)| format!("{name}{from} → {to}"))
    .collect();
    if let (
        Kind::File { size, sha256 },
        Kind::File {
            size: other,
            sha256: and,
        },
    ) = (&before.kind, &after.kind)
        && size == other
        && sha256 != and
    {
        aspects.push("contents".into());
    }
    if aspects.is_empty() {
        return String::new();
    }
    format!(" ({})", aspects.join(", "))
}
