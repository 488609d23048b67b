//! `bakelite publish`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use artifact_manifest::{ArtifactManifest, Role};
use jiff::Timestamp;

use super::Outcome;
use crate::arguments::update::PublishArguments;
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn publish(command: &PublishArguments, ui: &mut Ui) -> Outcome {
    let keys = command.keys.read()?;
    let bundle = bundle_of(&command.build)?;
    let channel = command.store.channel(&command.to)?;
    let steps = command.wave.as_ref().map_or(&[][..], |wave| &wave.0);
    let published = channel
        .publish(
            &keys,
            &bundle,
            steps,
            command.deltas,
            Timestamp::now().as_second(),
        )
        .map_err(CommandError::Channel)?;
    let text = format!(
        "{} {} is out\n  {}\n  manifest {}\n  metadata version {}",
        published.manifest.product,
        published.manifest.version,
        published.bundle,
        published.id,
        published.version
    );
    let answer = serde_json::json!({
        "product": published.manifest.product, "version": published.manifest.version,
        "manifest": published.id, "bundle": published.bundle, "metadata-version": published.version,
    });
    ui.answer(&text, &answer);
    Ok(ExitCode::SUCCESS)
}

/// Returns the bundle of a build, by its manifest; a file is the bundle itself.
fn bundle_of(build: &Path) -> Result<PathBuf, CommandError> {
    if !build.is_dir() {
        return Ok(build.to_owned());
    }
    let text = fs_err::read_to_string(build.join("manifest.json"))
        .map_err(CommandError::io("read the build's manifest"))?;
    let manifest = ArtifactManifest::from_json(&text)
        .map_err(std::io::Error::other)
        .map_err(CommandError::io("read the build's manifest"))?;
    let bundle = manifest.files.iter().find(|file| file.role == Role::Bundle);
    let missing = || CommandError::Usage {
        text: format!(
            "{} has no update bundle: only images with the layout “ab” have one",
            build.display()
        ),
    };
    Ok(build.join(&bundle.ok_or_else(missing)?.name))
}
