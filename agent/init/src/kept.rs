//! What of a device outlives a restart: what the overlays declare, and nothing else. Everything below `/etc`, `/var` and so on
//! may be changed; what nobody declared is as the image has it again at the next start.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

/// Mark of overlayfs on folders that hide what lies below (Linux: Documentation/filesystems/overlayfs.rst).
const OPAQUE: &str = "trusted.overlay.opaque";

/// What is declared. Paths are absolute; those of folders end with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    /// Settings: a trial gets a copy of its own, so that going back finds them as they were.
    pub(crate) settings: Vec<String>,
    /// What both slots share, because it is large or must not be lost: logs, images.
    pub(crate) shared: Vec<String>,
}

impl Kept {
    /// Reads the image's list: a line is `settings` or `shared`, and a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut kept = Self::default();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (list, path) = match line.split_once(' ') {
                Some(("settings", path)) => (&mut kept.settings, path),
                Some(("shared", path)) if path.ends_with('/') => (&mut kept.shared, path),
                _ => return Err(format!("the list of what is kept has the line “{line}”")),
            };
            let is_plain = path.len() > 1
                && path.starts_with('/')
                && path.split('/').all(|part| part != ".." && part != ".");
            if !is_plain {
                return Err(format!("the list of what is kept names {path}"));
            }
            list.push(path.to_owned());
        }
        Ok(kept)
    }

    /// Returns the folders of the root that settings lie in.
    pub(crate) fn tops(&self) -> BTreeSet<&str> {
        self.settings
            .iter()
            .filter_map(|path| path.split('/').nth(1))
            .collect()
    }

    fn covers(&self, path: &str) -> bool {
        self.settings
            .iter()
            .any(|kept| match kept.strip_suffix('/') {
                Some(folder) => path == folder || path.starts_with(kept.as_str()),
                None => path == kept,
            })
    }

    fn leads_to(&self, path: &str) -> bool {
        self.settings.iter().any(|kept| {
            kept.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Removes from `changes`, which lie over the image's `/top`, what is not declared.
    pub(crate) fn prune(&self, changes: &Path, top: &str) -> io::Result<()> {
        for entry in fs_err::read_dir(changes)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                remove(&entry.path())?;
                continue;
            };
            let path = format!("{top}/{name}");
            if self.covers(&path) {
                continue;
            }
            if entry.file_type()?.is_dir() && self.leads_to(&path) {
                // What it would hide belongs to the image.
                drop(xattr::remove(entry.path(), OPAQUE));
                self.prune(&entry.path(), &path)?;
            } else {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes a file or a folder with all in it. It may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs_err::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies a tree so that it is there whole or not at all, owners, times and marks included.
pub(crate) fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    remove(&partial)?;
    remove(to)?;
    copy(from, &partial)?;
    // Everything of it, before its name says that it is whole.
    nix::unistd::syncfs(fs_err::File::open(&partial)?.file())?;
    fs_err::rename(&partial, to)?;
    if let Some(parent) = to.parent() {
        fs_err::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let data = fs_err::symlink_metadata(from)?;
    let kind = data.file_type();
    if kind.is_dir() {
        fs_err::create_dir(to)?;
        for entry in fs_err::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if kind.is_symlink() {
        fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
    } else if kind.is_file() {
        fs_err::copy(from, to)?;
    } else if kind.is_char_device() && data.rdev() == 0 {
        // Overlayfs' mark for a file of the image that is gone.
        mknod(to, SFlag::S_IFCHR, Mode::empty(), 0)?;
    } else {
        // Sockets and the like are made again by whom they belong to.
        return Ok(());
    }
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        to,
        Some(Uid::from_raw(data.uid())),
        Some(Gid::from_raw(data.gid())),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if !kind.is_symlink() {
        fs_err::set_permissions(to, std::fs::Permissions::from_mode(data.mode()))?;
        for name in xattr::list(from)? {
            if let Some(value) = xattr::get(from, &name)? {
                xattr::set(to, &name, &value)?;
            }
        }
    }
    let time = TimeSpec::new(data.mtime(), data.mtime_nsec());
    utimensat(
        nix::fcntl::AT_FDCWD,
        to,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept::parse("# what\nsettings /etc/hostname\nsettings /etc/NetworkManager/system-connections/\nsettings /root/\nshared /var/log/\n").unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending = vec![folder.to_owned()];
        while let Some(next) = pending.pop() {
            for entry in fs_err::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    pending.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn only_what_is_declared_stays() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path();
        for path in [
            "NetworkManager/system-connections/a",
            "NetworkManager/conf.d/b",
            "hostname",
            "hostname.d/x",
            "passwd",
            "deep/er",
        ] {
            fs_err::create_dir_all(etc.join(path).parent().unwrap()).unwrap();
            fs_err::write(etc.join(path), path).unwrap();
        }
        fs_err::os::unix::fs::symlink("/nowhere", etc.join("link")).unwrap();
        kept().prune(etc, "/etc").unwrap();
        let left = [
            "NetworkManager",
            "NetworkManager/system-connections",
            "NetworkManager/system-connections/a",
            "hostname",
        ];
        assert_eq!(names(etc), left);
        assert_eq!(kept().tops(), ["etc", "root"].into());
    }

    #[test]
    fn a_folder_that_is_declared_whole_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join(".ssh")).unwrap();
        fs_err::write(folder.path().join(".ssh/authorized_keys"), "key").unwrap();
        kept().prune(folder.path(), "/root").unwrap();
        assert_eq!(names(folder.path()), [".ssh", ".ssh/authorized_keys"]);
    }

    #[test]
    fn a_list_that_would_lead_elsewhere_is_refused() {
        for line in [
            "settings /etc/../boot/",
            "shared /var/log",
            "settings /",
            "keep /etc/a",
            "settings etc/a",
        ] {
            assert!(Kept::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_copy_is_whole_and_takes_the_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("1"), folder.path().join("2"));
        fs_err::create_dir_all(from.join("etc/a")).unwrap();
        fs_err::write(from.join("etc/a/b"), "new").unwrap();
        fs_err::set_permissions(from.join("etc/a/b"), std::fs::Permissions::from_mode(0o640))
            .unwrap();
        fs_err::os::unix::fs::symlink("a/b", from.join("etc/link")).unwrap();
        xattr::set(from.join("etc/a"), "user.mark", b"yes").unwrap();
        let old = TimeSpec::new(1_000_000, 5);
        utimensat(
            nix::fcntl::AT_FDCWD,
            &from.join("etc/a"),
            &old,
            &old,
            UtimensatFlags::FollowSymlink,
        )
        .unwrap();
        for stale in ["2", "2.partial"] {
            fs_err::create_dir_all(folder.path().join(stale)).unwrap();
            fs_err::write(folder.path().join(stale).join("stale"), "").unwrap();
        }
        copy_whole(&from, &to).unwrap();
        assert_eq!(names(&to), ["etc", "etc/a", "etc/a/b", "etc/link"]);
        assert_eq!(fs_err::read_to_string(to.join("etc/link")).unwrap(), "new");
        assert_eq!(
            fs_err::metadata(to.join("etc/a/b")).unwrap().mode() & 0o777,
            0o640
        );
        assert_eq!(
            xattr::get(to.join("etc/a"), "user.mark").unwrap().unwrap(),
            b"yes"
        );
        assert_eq!(
            fs_err::metadata(to.join("etc/a")).unwrap().mtime(),
            1_000_000
        );
        assert!(!folder.path().join("2.partial").exists());
    }
}
