//! Native programs of the same Debian release in place of the target's, while scripts run.
//!
//! A shell script behaves the same whichever processor runs its `sed`: the tools tree's programs
//! are shown over the target's (bind mounts, so nothing of them is in the tree), and emulation is
//! left to what must be the target's own. `--strict-emulation` does without.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::confine::OURS;

/// Never replaced: programs that tell the architecture, or that must read the target's own files,
/// devices or libraries.
const KEEP: &[&str] = &[
    "arch",
    "blkid",
    "dpkg",
    "dpkg-deb",
    "dpkg-query",
    "findmnt",
    "fsck",
    "getconf",
    "i386",
    "iconv",
    "ldconfig",
    "ldd",
    "linux32",
    "linux64",
    "locale",
    "localedef",
    "logsave",
    "losetup",
    "lsblk",
    "lscpu",
    "mount",
    "setarch",
    "su",
    "udevadm",
    "umount",
    "uname",
    "x86_64",
    // Their packages change their owner or capabilities while they are configured.
    "ssh-agent",
    "unix_chkpwd",
    "chfn",
    "chsh",
    "newgrp",
    "passwd",
    "gpasswd",
    "chage",
    "expiry",
];
/// File-system tools do nothing while packages are installed, and initramfs hooks copy them.
const KEEP_PREFIXES: &[&str] = &[
    "fsck.",
    "mkfs",
    "e2",
    "dumpe2fs",
    "resize2fs",
    "tune2fs",
    "mke2fs",
];
/// Also kept while the initramfs is made: its hooks copy these programs.
const COPIED_INTO_INITRAMFS: &[&str] = &[
    "kmod",
    "systemd-sysctl",
    "systemd-tmpfiles",
    "mke2fs",
    "e2fsck",
    "dumpe2fs",
];

/// Multiarch name of the build machine, where the target is foreign. Other machines than x86-64
/// emulate everything.
const TRIPLET: &str = "x86_64-linux-gnu";

/// The native programs shown in the tree.
#[derive(Debug, Default)]
pub struct Natives {
    shown: BTreeSet<PathBuf>,
    made: Vec<PathBuf>,
}

impl Natives {
    /// Shows the tools tree's libraries, and every program that the target has too.
    pub fn show(&mut self) -> std::io::Result<()> {
        let tools = Path::new("/").join(OURS).join("tools");
        if !tools.join("usr/lib").join(TRIPLET).is_dir() {
            return Ok(());
        }
        if self.made.is_empty() {
            self.show_libraries(&tools)?;
        }
        for folder in ["usr/bin", "usr/sbin"] {
            let mut names: Vec<_> = fs_err::read_dir(tools.join(folder))
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            names.sort_by_key(fs_err::DirEntry::file_name);
            for entry in names {
                let target = Path::new("/").join(folder).join(entry.file_name());
                let keep = entry.file_name().to_str().is_none_or(|name| {
                    KEEP.contains(&name)
                        || KEEP_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                });
                let plain = fs_err::symlink_metadata(&target).is_ok_and(|data| data.is_file());
                if keep || !plain || self.shown.contains(&target) || !is_elf(&entry.path()) {
                    continue;
                }
                mount(
                    Some(&entry.path()),
                    &target,
                    None::<&str>,
                    MsFlags::MS_BIND,
                    None::<&str>,
                )?;
                self.shown.insert(target);
            }
        }
        Ok(())
    }

    fn show_libraries(&mut self, tools: &Path) -> std::io::Result<()> {
        let folder = Path::new("usr/lib").join(TRIPLET);
        let target = Path::new("/").join(&folder);
        if !target.is_dir() {
            fs_err::create_dir_all(&target)?;
            self.made.push(target.clone());
        }
        mount(
            Some(&tools.join(folder)),
            &target,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )?;
        self.shown.insert(target);
        // The dynamic linker, at the path that is written in every native program.
        // Scripts check that /lib64 is a link to a real folder (merged /usr).
        if !Path::new("/usr/lib64").is_dir() {
            fs_err::create_dir("/usr/lib64")?;
            self.made.push("/usr/lib64".into());
        }
        let linker = "ld-linux-x86-64.so.2";
        let real = tools.join("usr/lib64").join(linker);
        for (link, to) in [
            (Path::new("/usr/lib64").join(linker), real),
            ("/lib64".into(), "usr/lib64".into()),
        ] {
            if fs_err::symlink_metadata(&link).is_err() {
                fs_err::os::unix::fs::symlink(to, &link)?;
                self.made.push(link);
            }
        }
        Ok(())
    }

    /// Takes away what initramfs hooks would copy: some programs, and the libraries, which hooks look
    /// for by pattern. Returns the folder where native programs find their libraries from now on;
    /// the target's dynamic linker passes over libraries of another machine.
    pub fn hide_what_an_initramfs_holds(&mut self) -> std::io::Result<Option<String>> {
        let mut libraries = None;
        for path in self.shown.clone() {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let is_library = name == TRIPLET;
            if is_library || COPIED_INTO_INITRAMFS.contains(&name) {
                umount2(&path, MntFlags::MNT_DETACH)?;
                self.shown.remove(&path);
            }
            if is_library {
                fs_err::remove_dir(&path)?;
                self.made.retain(|made| *made != path);
                libraries = Some(format!("/{OURS}/tools/usr/lib/{TRIPLET}"));
            }
        }
        Ok(libraries)
    }

    /// Takes everything away, in reverse order.
    pub fn hide(&mut self) -> std::io::Result<()> {
        for path in std::mem::take(&mut self.shown).iter().rev() {
            umount2(path, MntFlags::MNT_DETACH)?;
        }
        for path in std::mem::take(&mut self.made).iter().rev() {
            if path.is_symlink() {
                fs_err::remove_file(path)?;
            } else {
                fs_err::remove_dir(path)?;
            }
        }
        Ok(())
    }
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs_err::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && &magic == b"\x7fELF"
}
