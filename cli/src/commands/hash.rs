//! `bakelite hash`

use std::fmt::Write as _;
use std::process::ExitCode;

use content_digest::Sha256Digest;
use release::candidate;
use release::changelog::hash_block;

use super::Outcome;
use crate::arguments::HashArguments;
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn run(command: &HashArguments, ui: &mut Ui) -> Outcome {
    if let (Some(changelog), Some(manifest)) = (&command.changelog, &command.manifest) {
        let build = candidate::check(manifest).map_err(CommandError::Candidate)?;
        let version = command.entry.as_ref().unwrap_or(&build.manifest.version);
        let before =
            fs_err::read_to_string(changelog).map_err(CommandError::io("read the changelog"))?;
        let after = hash_block::update(&before, version, &build.manifest, build.digest, None)
            .map_err(CommandError::HashBlock)?;
        let changed = before != after;
        if changed {
            image_builder::store::write_atomically(changelog, after.as_bytes())
                .map_err(CommandError::io("write the changelog"))?;
        }
        let what = if changed { "updated" } else { "right already" };
        let text = format!(
            "{}: the hashes of {version} are {what}",
            changelog.display()
        );
        ui.answer(
            &text,
            &serde_json::json!({ "changelog": changelog, "changed": changed }),
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut sums = Vec::new();
    for file in &command.files {
        let (digest, size) =
            Sha256Digest::of_file(file).map_err(CommandError::io("hash a file"))?;
        // The form of sha256sum(1): two spaces, and every tool reads it.
        writeln!(text, "{digest}  {}", file.display()).expect("strings take everything");
        sums.push(serde_json::json!({ "file": file, "sha256": digest, "size": size }));
    }
    ui.answer(&text, &sums);
    Ok(ExitCode::SUCCESS)
}
