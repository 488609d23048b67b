//! `bakelite verify`

use std::process::ExitCode;

use image_builder::pipeline::{self, BuildOptions};
use image_builder::worker::base::Emulation;

use super::Outcome;
use crate::arguments::{Arguments, VerifyArguments};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn run(arguments: &Arguments, command: &VerifyArguments, ui: &mut Ui) -> Outcome {
    let mut problems = pipeline::verify_folder(&command.folder)?;
    let mut text = format!(
        "{}: every file is as SHA256SUMS and the manifest say",
        command.folder.display()
    );
    if let Some(recipe) = &command.rebuild {
        let (recipe, mut host) = super::load(arguments, recipe)?;
        let folder =
            tempfile::tempdir_in(".").map_err(CommandError::io("make a folder for the rebuild"))?;
        // Packages may come from the vault; nothing that was built may.
        let vault = host.cache_folder("vault");
        host.cache = std::path::absolute(folder.path().join("cache"))
            .map_err(CommandError::io("make a cache"))?;
        fs_err::create_dir_all(&host.cache)
            .and_then(|()| fs_err::os::unix::fs::symlink(vault, host.cache_folder("vault")))
            .map_err(CommandError::io("make a cache"))?;
        let lock = command
            .folder
            .join(format!("{}-{}.lock", recipe.name, recipe.version));
        let options = BuildOptions {
            out: std::path::absolute(folder.path().join("out"))
                .map_err(CommandError::io("make a folder"))?,
            lock: Some(lock),
            emulation: Emulation::Accelerated,
        };
        let built = pipeline::build(&recipe, &host, &options, &mut |event| ui.event(&event))?;
        for file in &built.files {
            match fs_err::read(command.folder.join(&file.name)) {
                Ok(bytes)
                    if fs_err::read(built.folder.join(&file.name))
                        .is_ok_and(|other| other == bytes) => {}
                Ok(_) => problems.push(format!("{}: the rebuild made other bytes", file.name)),
                Err(error) => problems.push(format!("{}: {error}", file.name)),
            }
        }
        pipeline::clear_cache(&host)?;
        text.push_str("; a rebuild from its lock made the same bytes");
    }
    if problems.is_empty() {
        ui.answer(&text, &serde_json::json!({ "verified": true }));
        Ok(ExitCode::SUCCESS)
    } else {
        Err(CommandError::NotVerified { problems })
    }
}
