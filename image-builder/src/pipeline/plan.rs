//! What a build would do, and why.

use content_digest::Sha256Digest;
use serde::Serialize;

use super::inputs::LastInputs;
use super::{BuildOptions, Keys, publish};
use crate::Host;
use crate::lock::Lock;
use crate::recipe::Recipe;
use crate::vault::Vault;

/// One step of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// Name.
    pub step: &'static str,
    /// Whether the result is there already.
    pub cached: bool,
    /// Why it is or is not.
    pub why: String,
}

/// What a build would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Whether nothing would be done.
    pub up_to_date: bool,
    /// Packages in the image.
    pub packages: usize,
    /// Packages to download.
    pub downloads: usize,
    /// Bytes to download.
    pub download_bytes: u64,
    /// What would run emulated.
    pub emulation: &'static str,
    /// Steps in order.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    pub(super) fn of(
        recipe: &Recipe,
        host: &Host,
        lock: &Lock,
        keys: &Keys,
        options: &BuildOptions,
    ) -> Self {
        let vault = Vault::new(host);
        let needed = keys.needed_packages(host, lock);
        let missing = vault.missing(&needed);
        let up_to_date = publish::find(recipe, host, keys, options).is_some();
        let last = LastInputs::read(host, recipe);
        let tree = |key: &Sha256Digest| host.cache_folder("trees").join(key.short()).is_dir();
        let result = |key: &Sha256Digest| host.cache_folder("results").join(key.short()).is_dir();
        let is_cached = |step: &str| match step {
            "tools" => tree(&keys.tools),
            "base" => tree(&keys.base),
            "agent" => keys.agent.is_some_and(|key| result(&key)),
            "initramfs" => keys.initramfs.as_ref().is_none_or(result),
            _ => up_to_date,
        };
        let steps = keys.steps().map(|(step, inputs)| {
            let cached = is_cached(step);
            let why = if cached {
                "nothing that goes into it changed".to_owned()
            } else {
                last.changes(step, inputs)
            };
            PlannedStep { step, cached, why }
        });
        Self {
            up_to_date,
            packages: lock.image.len() + usize::from(recipe.agent),
            downloads: missing.len(),
            download_bytes: missing.iter().map(|package| package.size).sum(),
            emulation: super::emulation_name(host, options.emulation),
            steps: steps.collect(),
        }
    }
}
