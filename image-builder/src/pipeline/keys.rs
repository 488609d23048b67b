//! Keys of the steps: digests of everything that goes into each. Equal keys mean equal results.

use content_digest::{DigestBuilder, Sha256Digest};

use super::BuildError;
use super::inputs::Inputs;
use crate::lock::{Lock, LockedPackage};
use crate::recipe::written::Layout;
use crate::recipe::{File, Overlay, Recipe};
use crate::worker::base::Emulation;
use crate::{Host, agent_package};

/// Files that decide the initramfs lie below these folders.
pub(super) const INITRAMFS_FOLDERS: &[&str] =
    &["/etc/initramfs-tools/", "/usr/share/initramfs-tools/"];

/// What goes into each step of one build.
#[derive(Debug, Clone)]
pub struct Keys {
    tools_inputs: Inputs,
    base_inputs: Inputs,
    agent_inputs: Option<Inputs>,
    initramfs_inputs: Option<Inputs>,
    image_inputs: Inputs,
    outputs_inputs: Inputs,
    /// Tools tree.
    pub tools: Sha256Digest,
    /// Tree of the distribution's packages.
    pub base: Sha256Digest,
    /// Agent package, if it goes in.
    pub agent: Option<Sha256Digest>,
    /// Initramfs by the distribution's tools; with layout `ab` the image has one of its own.
    pub initramfs: Option<Sha256Digest>,
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
        let tools_inputs = packages("tools", &lock.tools);
        let tools = packages_key("tools", &lock.tools);
        let mut base = packages("base 8", &lock.image);
        base.add("the newest time", lock.timestamp.to_le_bytes());
        if host.architecture != crate::lock::TARGET {
            base.add("the tools", tools.as_bytes());
            base.add("emulation", [u8::from(emulation == Emulation::Strict)]);
        }
        let agent = agent_inputs(recipe, host, lock)?;
        let initramfs = match recipe.layout {
            Layout::Single => Some(initramfs_inputs(recipe, &base)?),
            Layout::Ab => None,
        };
        let below = initramfs.as_ref().unwrap_or(&base);
        let image = image_inputs(recipe, &tools, agent.as_ref(), below)?;
        let mut outputs = Inputs::new("outputs 6");
        outputs.add("the image", image.key().as_bytes());
        outputs.add("the lock", lock.to_text());
        outputs.add("the rollback index", recipe.rollback_index.to_le_bytes());
        outputs.add("the recipe's description", &recipe.description);
        outputs.add(
            "the recipe's compression, board and distro",
            format!(
                "{:?} {} {}",
                recipe.compression, recipe.board, recipe.distro
            ),
        );
        Ok(Self {
            tools,
            base: base.key(),
            agent: agent.as_ref().map(Inputs::key),
            initramfs: initramfs.as_ref().map(Inputs::key),
            outputs: outputs.key(),
            tools_inputs,
            base_inputs: base,
            agent_inputs: agent,
            initramfs_inputs: initramfs,
            image_inputs: image,
            outputs_inputs: outputs,
        })
    }

    /// Returns what goes into every step, in the order of the steps.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&'static str, &Inputs)> {
        let agent = self.agent_inputs.as_ref().map(|inputs| ("agent", inputs));
        let initramfs = self
            .initramfs_inputs
            .as_ref()
            .map(|inputs| ("initramfs", inputs));
        [("tools", &self.tools_inputs), ("base", &self.base_inputs)]
            .into_iter()
            .chain(agent)
            .chain(initramfs)
            .chain([
                ("image", &self.image_inputs),
                ("outputs", &self.outputs_inputs),
            ])
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

fn packages(step: &str, packages: &[LockedPackage]) -> Inputs {
    let mut inputs = Inputs::new(step);
    for package in packages {
        inputs.add(
            format!("package {}", package.name),
            package.sha256.as_bytes(),
        );
    }
    inputs
}

fn agent_inputs(recipe: &Recipe, host: &Host, lock: &Lock) -> Result<Option<Inputs>, BuildError> {
    if !recipe.agent {
        return Ok(None);
    }
    let inputs = agent_package::inputs(&recipe.project, lock, host.rust.as_ref())?;
    Ok(Some(inputs))
}

fn initramfs_inputs(recipe: &Recipe, base: &Inputs) -> Result<Inputs, BuildError> {
    let mut inputs = Inputs::new("initramfs 2");
    inputs.add("the base", base.key().as_bytes());
    let modules = recipe.boot().initramfs_modules.join(" ");
    inputs.add("the initramfs modules", modules);
    let is_part = |file: &&File| {
        INITRAMFS_FOLDERS
            .iter()
            .any(|folder| file.path.starts_with(folder))
    };
    for overlay in &recipe.overlays {
        for file in overlay.files.iter().filter(is_part) {
            add_file(&mut inputs, overlay, file)?;
        }
    }
    Ok(inputs)
}

fn image_inputs(
    recipe: &Recipe,
    tools: &Sha256Digest,
    agent: Option<&Inputs>,
    below: &Inputs,
) -> Result<Inputs, BuildError> {
    let mut inputs = Inputs::new("image 7");
    inputs.add("the tools", tools.as_bytes());
    if let Some(agent) = agent {
        inputs.add("the agent", agent.key().as_bytes());
    }
    inputs.add("the form of settings", device_settings::example());
    inputs.add("the base and the initramfs", below.key().as_bytes());
    inputs.add(
        "the initramfs modules",
        recipe.boot().initramfs_modules.join(" "),
    );
    inputs.add("the recipe's name", &recipe.name);
    inputs.add("the recipe's version", &recipe.version);
    inputs.add("the recipe's boot-mib", recipe.boot_mib.to_le_bytes());
    inputs.add("the recipe's free-mib", recipe.free_mib.to_le_bytes());
    inputs.add("the recipe's root-mib", recipe.root_mib.to_le_bytes());
    inputs.add("the recipe's layout", format!("{:?}", recipe.layout));
    inputs.add("what is kept", recipe.kept());
    inputs.add(
        "the root of updates",
        recipe.update_root.as_deref().unwrap_or_default(),
    );
    for overlay in &recipe.overlays {
        let Overlay {
            name,
            systemd,
            users,
            boot,
            ..
        } = overlay;
        inputs.add(
            format!("overlay {name}"),
            format!("{systemd:?} {users:?} {boot:?}"),
        );
        for file in &overlay.files {
            add_file(&mut inputs, overlay, file)?;
        }
    }
    Ok(inputs)
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

fn add_file(inputs: &mut Inputs, overlay: &Overlay, file: &File) -> Result<(), BuildError> {
    let mut digest = DigestBuilder::new();
    digest.part(format!("{}:{} {:o}", file.owner, file.group, file.mode));
    if file.from.is_symlink() {
        let target = fs_err::read_link(&file.from)?;
        digest.part(target.as_os_str().as_encoded_bytes());
    } else {
        digest.part(fs_err::read(&file.from)?);
    }
    inputs.add(
        format!("{} (overlay {})", file.path, overlay.name),
        digest.finish().as_bytes(),
    );
    Ok(())
}
