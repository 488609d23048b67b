//! A recipe as meant: checked, and without options that have a default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use content_digest::{DigestBuilder, Sha256Digest};

use super::written::{Compression, Layout};

/// A checked recipe with its overlays.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The recipe's file.
    pub file: PathBuf,
    /// The folder that holds `overlays/`.
    pub project: PathBuf,
    /// Name of the image.
    pub name: String,
    /// Version of the image.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Board overlay's name.
    pub board: String,
    /// Distro overlay's name.
    pub distro: String,
    /// Distro, board, then features, in the order they are applied.
    pub overlays: Vec<Overlay>,
    /// Packages asked for by the recipe or an overlay; sorted, each once.
    pub packages: Vec<String>,
    /// Whether the agent goes in.
    pub agent: bool,
    /// Partition layout.
    pub layout: Layout,
    /// Compression of the image.
    pub compression: Compression,
    /// Size of the boot partition in MiB.
    pub boot_mib: u32,
    /// Free room in the root partition in MiB.
    pub free_mib: u32,
    /// Size of a root slot in MiB.
    pub root_mib: u32,
    /// Lowest index that devices take afterwards.
    pub rollback_index: u32,
    /// Most that may be new against the version before without a warning, in MiB.
    pub update_budget: Option<u32>,
    /// Bundle of the version before, or a folder with it.
    pub update_before: Option<PathBuf>,
    /// The root that devices trust updates by.
    pub update_root: Option<String>,
    /// What devices are told of their channel, as the agent reads it.
    pub update_choices: Option<String>,
    /// Certificates that they trust for it.
    pub update_authority: Option<String>,
    /// Mirrors by archive.
    pub mirrors: BTreeMap<String, String>,
}

/// A checked overlay.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Package sources.
    pub sources: Vec<Source>,
    /// Files below `files/`, by path in the image.
    pub files: Vec<File>,
    /// Unit settings.
    pub systemd: Systemd,
    /// Users.
    pub users: Vec<User>,
    /// Boot settings.
    pub boot: BootSettings,
    /// What outlives a restart.
    pub keep: Keep,
}

/// What of a device outlives a restart. Paths of folders end with `/`.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Settings, a copy for each version on trial.
    pub settings: Vec<String>,
    /// What all versions share.
    pub shared: Vec<String>,
}

/// A package source.
#[derive(Debug, Clone)]
pub struct Source {
    /// Archive name.
    pub archive: String,
    /// Suite or code name.
    pub suite: String,
    /// Components.
    pub components: Vec<String>,
    /// Contents of the key files.
    pub keys: Vec<String>,
    /// Mirror of last resort.
    pub mirror: Option<String>,
}

/// A file that an overlay lays over the tree.
#[derive(Debug, Clone)]
pub struct File {
    /// Absolute path in the image.
    pub path: String,
    /// Where it is read from.
    pub from: PathBuf,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
}

/// Unit settings.
#[derive(Debug, Clone, Default)]
pub struct Systemd {
    /// Units to enable.
    pub enable: Vec<String>,
    /// Units to disable.
    pub disable: Vec<String>,
    /// Units to mask.
    pub mask: Vec<String>,
}

/// A user to make.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: Option<u32>,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Login shell.
    pub shell: String,
    /// Password hash; `!` locks.
    pub password_hash: String,
    /// Lines for `authorized_keys`.
    pub ssh_keys: Vec<String>,
}

/// Firmware and kernel settings.
#[derive(Debug, Clone, Default)]
pub struct BootSettings {
    /// Lines of `config.txt`.
    pub config: Vec<String>,
    /// Kernel arguments.
    pub kernel_arguments: Vec<String>,
    /// Initramfs modules.
    pub initramfs_modules: Vec<String>,
    /// Boards that must start.
    pub boards: Vec<String>,
    /// Device trees to copy.
    pub device_trees: Vec<String>,
}

impl Recipe {
    /// Returns the sources of all overlays.
    pub fn sources(&self) -> Vec<&Source> {
        self.overlays
            .iter()
            .flat_map(|overlay| &overlay.sources)
            .collect()
    }

    /// Returns the boot settings of all overlays, in order.
    pub fn boot(&self) -> BootSettings {
        let mut all = BootSettings::default();
        for overlay in &self.overlays {
            all.config.extend(overlay.boot.config.iter().cloned());
            all.kernel_arguments
                .extend(overlay.boot.kernel_arguments.iter().cloned());
            all.initramfs_modules
                .extend(overlay.boot.initramfs_modules.iter().cloned());
            all.boards.extend(overlay.boot.boards.iter().cloned());
            all.device_trees
                .extend(overlay.boot.device_trees.iter().cloned());
        }
        all
    }

    /// Returns what outlives a restart, as the device's list of it.
    pub fn kept(&self) -> String {
        let lines = self.overlays.iter().flat_map(|overlay| {
            let settings = overlay
                .keep
                .settings
                .iter()
                .map(|path| format!("settings {path}\n"));
            let shared = overlay
                .keep
                .shared
                .iter()
                .map(|path| format!("shared {path}\n"));
            settings.chain(shared)
        });
        lines.collect()
    }

    /// Returns the digest of what decides which packages are locked.
    pub fn package_digest(&self) -> Sha256Digest {
        let mut digest = DigestBuilder::new();
        digest.part("packages 1").part(self.packages.join(" "));
        for source in self.sources() {
            digest
                .part(&source.archive)
                .part(&source.suite)
                .part(source.components.join(" "));
            for key in &source.keys {
                digest.part(key);
            }
        }
        digest.finish()
    }
}
