//! Keys of the steps: digests of everything that goes into each. Equal keys mean equal results.

use std::path::Path;

use content_digest::{DigestBuilder, Sha256Digest};
use serde::Serialize;

use super::{BuildError, BuildOptions, publish};
use crate::Host;
use crate::lock::{Lock, LockedPackage};
use crate::recipe::{File, Recipe};
use crate::vault::Vault;
use crate::worker::base::Emulation;

/// Files that decide the initramfs lie below these folders.
pub(super) const INITRAMFS_FOLDERS: &[&str] =
    &["/etc/initramfs-tools/", "/usr/share/initramfs-tools/"];

/// The keys of all steps of one build.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Tools tree.
    pub tools: Sha256Digest,
    /// Tree of the distribution's packages.
    pub base: Sha256Digest,
    /// Agent package, if it goes in.
    pub agent: Option<Sha256Digest>,
    /// Initramfs.
    pub initramfs: Sha256Digest,
    /// Image.
    pub image: Sha256Digest,
    /// Outputs.
    pub outputs: Sha256Digest,
}

impl Keys {
    /// Computes the keys.
    pub fn of(
        recipe: &Recipe,
        host: &Host,
        lock: &Lock,
        emulation: Emulation,
    ) -> Result<Self, BuildError> {
        let tools = packages_key("tools", &lock.tools);
        let mut base = DigestBuilder::new();
        base.part("base 7")
            .part(packages_key("image", &lock.image).as_bytes())
            .part(lock.timestamp.to_le_bytes());
        if host.architecture != crate::lock::TARGET {
            base.part(tools.as_bytes())
                .part([u8::from(emulation == Emulation::Strict)]);
        }
        let base = base.finish();
        let agent = super::agent_key(recipe, host, lock)?;
        let boot = recipe.boot();
        let mut initramfs = DigestBuilder::new();
        initramfs
            .part("initramfs 2")
            .part(base.as_bytes())
            .part(boot.initramfs_modules.join(" "));
        let mut image = DigestBuilder::new();
        image.part("image 5").part(tools.as_bytes());
        if let Some(agent) = agent {
            image.part(agent.as_bytes());
        }
        for file in recipe.overlays.iter().flat_map(|overlay| &overlay.files) {
            if INITRAMFS_FOLDERS
                .iter()
                .any(|folder| file.path.starts_with(folder))
            {
                add_file(&mut initramfs, file)?;
            }
            add_file(&mut image, file)?;
        }
        let initramfs = initramfs.finish();
        image.part(initramfs.as_bytes());
        for overlay in &recipe.overlays {
            image.part(format!(
                "{} {:?} {:?} {:?} {:?}",
                overlay.name,
                overlay.systemd,
                overlay.users,
                overlay.boot,
                Facts::of(recipe)
            ));
        }
        let image = image.finish();
        let mut outputs = DigestBuilder::new();
        outputs
            .part("outputs 2")
            .part(image.as_bytes())
            .part(lock.to_text())
            .part(&recipe.description);
        outputs.part(format!(
            "{:?} {} {}",
            recipe.compression, recipe.board, recipe.distro
        ));
        Ok(Self {
            tools,
            base,
            agent,
            initramfs,
            image,
            outputs: outputs.finish(),
        })
    }

    /// Returns the packages that steps not in the cache need.
    pub fn needed_packages<'l>(&self, host: &Host, lock: &'l Lock) -> Vec<&'l LockedPackage> {
        let tree = |key: &Sha256Digest| host.cache_folder("trees").join(key.short());
        let result = |key: &Sha256Digest| host.cache_folder("results").join(key.short());
        let mut needed = Vec::new();
        if !tree(&self.tools).is_dir() {
            needed.extend(&lock.tools);
        }
        if !tree(&self.base).is_dir() {
            needed.extend(&lock.image);
        }
        if self.agent.is_some_and(|key| !result(&key).is_dir()) {
            needed.extend(lock.toolchain.iter().chain(&lock.sysroot));
        }
        needed
    }
}

/// What of the recipe itself shows in the image.
#[derive(Debug)]
#[expect(dead_code, reason = "read through Debug, as a part of the key")]
struct Facts<'r> {
    name: &'r str,
    version: &'r str,
    boot_mib: u32,
    free_mib: u32,
}

impl<'r> Facts<'r> {
    fn of(recipe: &'r Recipe) -> Self {
        Self {
            name: &recipe.name,
            version: &recipe.version,
            boot_mib: recipe.boot_mib,
            free_mib: recipe.free_mib,
        }
    }
}

/// Returns the key of a tree that is made of packages and nothing else.
pub(super) fn packages_key(kind: &str, packages: &[LockedPackage]) -> Sha256Digest {
    let mut digest = DigestBuilder::new();
    digest.part("tree 1").part(kind);
    for package in packages {
        digest.part(package.sha256.as_bytes());
    }
    digest.finish()
}

fn add_file(digest: &mut DigestBuilder, file: &File) -> Result<(), BuildError> {
    digest
        .part(&file.path)
        .part(format!("{}:{} {:o}", file.owner, file.group, file.mode));
    if file.from.is_symlink() {
        digest.part(
            fs_err::read_link(&file.from)?
                .as_os_str()
                .as_encoded_bytes(),
        );
    } else {
        digest.part(fs_err::read(&file.from)?);
    }
    Ok(())
}

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
        let tree = |key: &Sha256Digest| host.cache_folder("trees").join(key.short());
        let result = |key: &Sha256Digest| host.cache_folder("results").join(key.short());
        let step = |step, path: &Path, changed: &str| {
            let cached = path.exists();
            let why = if cached {
                "nothing that goes into it changed".to_owned()
            } else {
                format!("no result for these {changed} yet")
            };
            PlannedStep { step, cached, why }
        };
        let mut steps = vec![
            step("tools", &tree(&keys.tools), "tool packages"),
            step("base", &tree(&keys.base), "image packages"),
        ];
        if let Some(agent) = keys.agent {
            steps.push(step("agent", &result(&agent), "agent sources and compiler"));
        }
        steps.push(step(
            "initramfs",
            &result(&keys.initramfs),
            "packages, modules and initramfs settings",
        ));
        let why = if up_to_date {
            "the outputs are there"
        } else {
            "overlays, agent, recipe or packages changed, or outputs are missing"
        };
        for name in ["image", "outputs"] {
            steps.push(PlannedStep {
                step: name,
                cached: up_to_date,
                why: why.to_owned(),
            });
        }
        Self {
            up_to_date,
            packages: lock.image.len() + usize::from(recipe.agent),
            downloads: missing.len(),
            download_bytes: missing.iter().map(|package| package.size).sum(),
            emulation: super::emulation_name(host, options.emulation),
            steps,
        }
    }
}
