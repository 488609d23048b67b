//! One entry of a data tarball becomes one file of the tree.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, UtimensatFlags, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use super::Tree;

/// Entry names and link targets longer than the kernel takes (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Why an entry was refused.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The path leads out of the tree.
    #[error("the path is empty, too long, or has a “..” in it")]
    Path,
    /// Packages bring no device nodes.
    #[error("device nodes, sockets and other special files are refused ({kind})")]
    Special {
        /// The tar type.
        kind: String,
    },
    /// The package unpacks to far more than its archive states.
    #[error("it unpacks to more than {limit} bytes, far more than its archive states")]
    Bomb {
        /// Limit in bytes.
        limit: u64,
    },
    /// Two packages have the same file, and neither may replace the other's.
    #[error("package {other} has this file too, and neither replaces the other")]
    Conflict {
        /// The other package.
        other: String,
    },
    /// There is something of another kind at this path.
    #[error("there is already something of another kind here")]
    Kind,
    /// Reading or writing failed.
    #[error("cannot unpack it")]
    Io(#[source] io::Error),
}

impl From<nix::Error> for EntryError {
    fn from(error: nix::Error) -> Self {
        Self::Io(error.into())
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Folder {
    number: usize,
    owner: Owner,
    mtime: i64,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// The package that has a file.
#[derive(Debug)]
pub(super) struct FileOwner {
    number: usize,
    /// Its thread is at it just now.
    is_writing: bool,
}

/// The right to write a file, given back when dropped: whoever replaces the file waits until then.
struct Claim<'a> {
    tree: &'a Tree,
    path: &'a Path,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut owners = self.tree.owners.lock().expect("no panic while held");
        if let Some(owner) = owners.get_mut(self.path) {
            owner.is_writing = false;
        }
        drop(owners);
        self.tree.written.notify_all();
    }
}

impl Tree {
    /// Makes the entry and returns its path as dpkg lists it.
    pub(super) fn make<R: Read>(
        &self,
        number: usize,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<String, EntryError> {
        let path = checked_path(&entry.path_bytes())?;
        let listed = match path.to_str() {
            Some("/") => "/.".to_owned(),
            Some(text) => text.to_owned(),
            None => String::from_utf8_lossy(path.as_os_str().as_encoded_bytes()).into_owned(),
        };
        let header = entry.header().clone();
        let number_of = |value: io::Result<u64>| {
            value
                .ok()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(EntryError::Path)
        };
        let owner = Owner {
            uid: number_of(header.uid())?,
            gid: number_of(header.gid())?,
            mode: header.mode().map_err(EntryError::Io)? & 0o7777,
        };
        let mtime = i64::try_from(header.mtime().map_err(EntryError::Io)?).unwrap_or(0);
        let kind = header.entry_type();
        if kind.is_dir() {
            self.make_folder(
                &path,
                Folder {
                    number,
                    owner,
                    mtime,
                },
            )?;
            return Ok(listed);
        }
        let target = self.diverted(number, &path);
        let Some(_claim) = self.claim(number, &target)? else {
            return Ok(listed);
        };
        if kind.is_file() || kind.is_contiguous() {
            make_file(self, &target, entry, owner, mtime)?;
        } else if kind.is_symlink() {
            let link = entry
                .link_name_bytes()
                .ok_or(EntryError::Path)?
                .into_owned();
            make_symlink(self, &target, &link, owner, mtime)?;
        } else if kind.is_hard_link() {
            let first = checked_path(&entry.link_name_bytes().ok_or(EntryError::Path)?)?;
            let first = self.diverted(number, &first);
            self.retry_with_parent(&target, || fs_err::hard_link(&first, &target))?;
        } else {
            return Err(EntryError::Special {
                kind: format!("{kind:?}"),
            });
        }
        Ok(listed)
    }

    fn diverted(&self, number: usize, path: &Path) -> PathBuf {
        match self.diversions.get(path) {
            Some((target, by)) if *by != self.names[number].0 => target.clone(),
            _ => path.to_owned(),
        }
    }

    /// Records the owner of a file and returns the right to write it; none if the file stays as it is.
    fn claim<'a>(&'a self, number: usize, path: &'a Path) -> Result<Option<Claim<'a>>, EntryError> {
        let owners = self.owners.lock().expect("no panic while held");
        // Nobody who writes an entry waits for another: this ends.
        let mut owners = self
            .written
            .wait_while(owners, |owners| {
                owners.get(path).is_some_and(|owner| owner.is_writing)
            })
            .expect("no panic while held");
        let replaces = |a: usize, b: usize| self.names[a].1.contains(&self.names[b].0);
        if let Some(other) = owners.get(path).map(|owner| owner.number) {
            if other == number || replaces(number, other) {
                match fs_err::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(EntryError::Io(error));
                    }
                    _ => {}
                }
            } else if replaces(other, number) {
                return Ok(None);
            } else {
                return Err(EntryError::Conflict {
                    other: self.names[other].0.clone(),
                });
            }
        }
        let owner = FileOwner {
            number,
            is_writing: true,
        };
        owners.insert(path.to_owned(), owner);
        Ok(Some(Claim { tree: self, path }))
    }

    /// Makes a folder. One that was there before this round stays as it is, as with dpkg.
    fn make_folder(&self, path: &Path, folder: Folder) -> Result<(), EntryError> {
        // Held while the folder is made: nobody sees a new folder that is not recorded.
        let mut folders = self.folders.lock().expect("no panic while held");
        let made = match nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755)) {
            Ok(()) => true,
            Err(nix::Error::EEXIST) if path.is_dir() => false,
            Err(nix::Error::EEXIST) => return Err(EntryError::Kind),
            Err(nix::Error::ENOENT) => {
                make_parents(path, &mut folders)?;
                nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755))?;
                true
            }
            Err(error) => return Err(error.into()),
        };
        // One name a folder: /lib is /usr/lib.
        let real = fs_err::canonicalize(path).map_err(EntryError::Io)?;
        match folders.get_mut(&real) {
            // The first package's owner and mode count.
            Some(known) if folder.number < known.number => *known = folder,
            None if made || (is_mounted(&real) && !self.mounted.contains_key(&real)) => {
                folders.insert(real, folder);
            }
            _ => {}
        }
        Ok(())
    }

    fn retry_with_parent<T>(
        &self,
        path: &Path,
        make: impl Fn() -> io::Result<T>,
    ) -> Result<T, EntryError> {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut folders = self.folders.lock().expect("no panic while held");
                make_parents(path, &mut folders)?;
                drop(folders);
                make().map_err(EntryError::Io)
            }
            other => other.map_err(EntryError::Io),
        }
    }

    /// Sets owner, mode and time of the folders that were made since the last call.
    pub(super) fn settle_new_folders(&mut self) -> io::Result<()> {
        let new = std::mem::take(self.folders.get_mut().expect("no panic while held"));
        let (mounted, new) = new.into_iter().partition(|(path, _)| is_mounted(path));
        let mut mounted: BTreeMap<PathBuf, Folder> = mounted;
        self.mounted.append(&mut mounted);
        settle(&new)?;
        Ok(())
    }

    /// Sets them for the folders that other file systems were mounted over, now that those are gone.
    pub(super) fn settle_mounted_folders(&self) -> io::Result<()> {
        settle(&self.mounted)
    }
}

/// Folders that are mount points, or the root itself, while packages are installed.
const MOUNTED: &[&str] = &["/", "/dev", "/proc", "/run", "/tmp"];

fn is_mounted(path: &Path) -> bool {
    MOUNTED.iter().any(|mounted| Path::new(mounted) == path)
}

/// Makes the folders above `path` that no package has brought yet; a package may do so later.
fn make_parents(path: &Path, folders: &mut BTreeMap<PathBuf, Folder>) -> Result<(), EntryError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|parent| !parent.exists())
        .collect();
    for parent in missing.into_iter().rev() {
        fs_err::create_dir(parent).map_err(EntryError::Io)?;
        let owner = Owner {
            uid: 0,
            gid: 0,
            mode: 0o755,
        };
        let real = fs_err::canonicalize(parent).map_err(EntryError::Io)?;
        folders.insert(
            real,
            Folder {
                number: usize::MAX,
                owner,
                mtime: 0,
            },
        );
    }
    Ok(())
}

fn settle(folders: &BTreeMap<PathBuf, Folder>) -> io::Result<()> {
    // Deepest first: a folder's time changes when its entries do.
    for (path, folder) in folders.iter().rev().filter(|(path, _)| path.is_dir()) {
        let owner = folder.owner;
        nix::unistd::chown(
            path,
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
        )?;
        fs_err::set_permissions(
            path,
            std::os::unix::fs::PermissionsExt::from_mode(owner.mode),
        )?;
        let time = TimeSpec::new(folder.mtime, 0);
        utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::FollowSymlink)?;
    }
    Ok(())
}

/// `./usr/bin/x` → `/usr/bin/x`. The tree is this process's root, so that links cannot lead out of
/// it either.
fn checked_path(raw: &[u8]) -> Result<PathBuf, EntryError> {
    use std::os::unix::ffi::OsStrExt as _;
    if raw.is_empty() || raw.len() > LONGEST_PATH || raw.contains(&0) {
        return Err(EntryError::Path);
    }
    let mut path = PathBuf::from("/");
    for part in Path::new(std::ffi::OsStr::from_bytes(raw)).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(EntryError::Path),
        }
    }
    Ok(path)
}

fn make_file(
    tree: &Tree,
    path: &Path,
    contents: &mut impl Read,
    owner: Owner,
    mtime: i64,
) -> Result<(), EntryError> {
    let mut file = tree.retry_with_parent(path, || {
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
    })?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = contents.read(&mut buffer).map_err(EntryError::Io)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(EntryError::Io)?;
    }
    if (owner.uid, owner.gid) != (0, 0) {
        fchown(
            &file,
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
        )?;
    }
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(owner.mode))
        .map_err(EntryError::Io)?;
    let time = TimeSpec::new(mtime, 0);
    futimens(&file, &time, &time)?;
    Ok(())
}

fn make_symlink(
    tree: &Tree,
    path: &Path,
    target: &[u8],
    owner: Owner,
    mtime: i64,
) -> Result<(), EntryError> {
    use std::os::unix::ffi::OsStrExt as _;
    if target.is_empty() || target.len() > LONGEST_PATH {
        return Err(EntryError::Path);
    }
    let target = std::ffi::OsStr::from_bytes(target);
    let made = tree.retry_with_parent(path, || fs_err::os::unix::fs::symlink(target, path));
    match made {
        // dpkg leaves a folder in place where a package has a link.
        Err(EntryError::Io(error))
            if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() =>
        {
            return Ok(());
        }
        other => other?,
    }
    fchownat(
        AT_FDCWD,
        path,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    let time = TimeSpec::new(mtime, 0);
    utimensat(
        AT_FDCWD,
        path,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_tree() {
        assert_eq!(
            checked_path(b"./usr//bin/x").unwrap(),
            Path::new("/usr/bin/x")
        );
        assert_eq!(checked_path(b"./").unwrap(), Path::new("/"));
        assert_eq!(checked_path(b"/etc").unwrap(), Path::new("/etc"));
        for bad in [&b"../x"[..], b"a/../../x", b"", b"a\0b", &[b'a'; 5000]] {
            assert!(
                checked_path(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_has_a_parent_component(raw: Vec<u8>) {
            if let Ok(path) = checked_path(&raw) {
                proptest::prop_assert!(path.is_absolute());
                proptest::prop_assert!(!path.components().any(|c| c == Component::ParentDir));
            }
        }
    }
}
