//! What goes on top of a tree of packages: the initramfs, the agent, the overlays.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::base::{self, Emulation, VAULT};
use super::{Answer, TaskError, confine};
use crate::dpkg::{Installer, PackageFile, Scripts};
use crate::event::Event;
use crate::initramfs;
use crate::overlay::{self, Layer};
use crate::sandbox::{self, Confinement, Natives};

/// Folder in the tree that takes what a task makes.
pub const OUT: &str = "/.bakelite/out";

/// Makes the initramfs of the tree's kernel with the distribution's own tools.
#[derive(Debug, Serialize, Deserialize)]
pub struct Initramfs {
    /// What the worker sees.
    pub confinement: Confinement,
    /// The overlays' initramfs settings.
    pub layers: Vec<Layer>,
    /// What scripts take for now.
    pub timestamp: i64,
    /// Native programs or not.
    pub emulation: Emulation,
    /// Whether the target's programs must be emulated at all.
    pub foreign: bool,
}

impl Initramfs {
    pub(super) fn work(self) -> Result<Answer, TaskError> {
        confine(&self.confinement)?;
        sandbox::mount_run()?;
        let mut scripts = Scripts::new(self.timestamp);
        let mut natives = Natives::default();
        if self.foreign && self.emulation == Emulation::Accelerated {
            natives.show()?;
            keep_the_native_linker_out()?;
            if let Some(libraries) = natives.hide_what_an_initramfs_holds()? {
                scripts.set("LD_LIBRARY_PATH", &libraries);
            }
        }
        for layer in &self.layers {
            layer.apply(&scripts)?;
        }
        let version = base::kernel_version()
            .ok_or("the image has no kernel: no folder below /lib/modules")?;
        let file = format!("{OUT}/initrd.img");
        scripts.run(
            Path::new("/usr/sbin/mkinitramfs"),
            &["-o", &file, &version],
            &[],
            "initramfs-tools",
            "mkinitramfs",
        )?;
        let (names, foreign) = initramfs::inspect(Path::new(&file))?;
        if let Some(first) = foreign.into_iter().next() {
            return Err(Box::new(first));
        }
        if names.len() < 20 {
            return Err(format!("the initramfs has only {} files", names.len()).into());
        }
        Ok(Answer {
            kernel_version: Some(version),
            ..Answer::default()
        })
    }
}

/// mkinitramfs copies the links of merged /usr, and so would copy the `/lib64` that is there for the
/// native programs. This hook is in the layer that is thrown away.
fn keep_the_native_linker_out() -> std::io::Result<()> {
    let hook = "/etc/initramfs-tools/hooks/zz-bakelite-native";
    fs_err::write(
        hook,
        "#!/bin/sh\n[ \"$1\" != prereqs ] || exit 0\nrm -f \"$DESTDIR/lib64\"\nrm -rf \"$DESTDIR/usr/lib64\"\n",
    )?;
    fs_err::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// Installs the agent and applies the overlays.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finish {
    /// What the worker sees.
    pub confinement: Confinement,
    /// The agent's package, if it goes in. Its path is within [`VAULT`].
    pub agent: Option<PackageFile>,
    /// The overlays, in order.
    pub layers: Vec<Layer>,
    /// What scripts take for now.
    pub timestamp: i64,
    /// Native programs or not.
    pub emulation: Emulation,
    /// Whether the target's programs must be emulated at all.
    pub foreign: bool,
    /// File with the initramfs, in [`OUT`], if it goes into the tree.
    pub initramfs: Option<PathBuf>,
    /// Folders that must be there.
    pub folders: Vec<PathBuf>,
}

impl Finish {
    pub(super) fn work(self, _sink: &(dyn Fn(Event) + Sync)) -> Result<Answer, TaskError> {
        confine(&self.confinement)?;
        sandbox::mount_run()?;
        let mut natives = Natives::default();
        if self.foreign && self.emulation == Emulation::Accelerated {
            natives.show()?;
        }
        let mut installer = Installer::for_tree(PathBuf::from(VAULT), self.timestamp, 1)?;
        if let Some(agent) = self.agent {
            let archives = installer.open(&[agent])?;
            let names = installer.unpack_round(archives, &|_| {})?;
            installer.configure_round(&names)?;
        }
        for layer in &self.layers {
            layer.apply(&installer.scripts)?;
        }
        let version = base::kernel_version()
            .ok_or("the image has no kernel: no folder below /lib/modules")?;
        if let Some(initramfs) = &self.initramfs {
            let target = Path::new("/boot").join(format!("initrd.img-{version}"));
            drop(fs_err::remove_file(&target));
            fs_err::copy(initramfs, &target)?;
            fs_err::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        }
        for folder in &self.folders {
            fs_err::create_dir_all(folder)?;
        }
        natives.hide()?;
        overlay::clean()?;
        sandbox::umount_all()?;
        overlay::clamp_times(Path::new("/"), self.timestamp)?;
        Ok(Answer {
            kernel_version: Some(version),
            ..Answer::default()
        })
    }
}
