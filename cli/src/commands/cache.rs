//! `bakelite cache`

use std::process::ExitCode;
use std::time::Duration;

use image_builder::pipeline;

use super::Outcome;
use crate::arguments::{Arguments, CacheCommand};
use crate::environment;
use crate::ui::Ui;

pub(super) fn run(arguments: &Arguments, command: &CacheCommand, ui: &mut Ui) -> Outcome {
    let host = environment::host(arguments)?;
    match command {
        CacheCommand::Gc { days } => {
            let removed = pipeline::collect_garbage(&host, Duration::from_secs(days * 24 * 3600))?;
            ui.answer(
                &format!("{removed} trees and results removed"),
                &serde_json::json!({ "removed": removed }),
            );
        }
        CacheCommand::Show => {
            let count = |kind| {
                let entries = fs_err::read_dir(host.cache_folder(kind))
                    .into_iter()
                    .flatten();
                entries
                    .flatten()
                    .filter(|entry| entry.path().is_dir())
                    .count()
            };
            let text = format!(
                "{}\n  {} trees, {} results",
                host.cache.display(),
                count("trees"),
                count("results")
            );
            ui.answer(&text, &serde_json::json!({ "cache": host.cache, "trees": count("trees"), "results": count("results") }));
        }
    }
    Ok(ExitCode::SUCCESS)
}
