//! The cache: results by the digest of everything that went into them.
//!
//! ```text
//! <cache>/
//!   lock                      held by a running build
//!   indexes/  vault/          see their modules
//!   trees/<key>/              unpacked and configured trees
//!   trees/<key>.used          when it was last used
//!   results/<key>/            files: initramfs, agent package, locks
//!   frames/<key>              compressed pieces of images, see outputs::frames
//!   partial/<name>            being made; never read, removed by the next build
//! ```
//!
//! What lies under its final name is whole: it was made in `partial/` and renamed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use nix::fcntl::{Flock, FlockArg};

/// Writes a file so that it is either the old or the new one, also after a power cut.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The parent of a plain name is the empty path.
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(
        ".{name}.{}.{:?}.partial",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut file = fs_err::File::create(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs_err::rename(&temporary, path));
    if written.is_err() {
        drop(fs_err::remove_file(&temporary));
    }
    written?;
    fs_err::File::open(folder)?.sync_all()
}

/// The cache folder, locked for this process.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    _lock: Flock<std::fs::File>,
}

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be made.
    #[error("cannot use the cache")]
    Io(#[source] io::Error),
    /// Another build holds the lock.
    #[error("another build is using the cache {path}")]
    Busy {
        /// The cache folder.
        path: PathBuf,
    },
}

/// Whether to wait for another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it ends.
    Patiently,
    /// Fail at once.
    No,
}

impl Store {
    /// Opens and locks the cache.
    pub fn open(root: &Path, wait: Wait) -> Result<Self, StoreError> {
        for folder in ["trees", "results", "partial"] {
            fs_err::create_dir_all(root.join(folder)).map_err(StoreError::Io)?;
        }
        let file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(StoreError::Io)?;
        let how = if wait == Wait::No {
            FlockArg::LockExclusiveNonblock
        } else {
            FlockArg::LockExclusive
        };
        match Flock::lock(file.into_parts().0, how) {
            Ok(lock) => Ok(Self {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err(_) => Err(StoreError::Busy {
                path: root.to_owned(),
            }),
        }
    }

    /// Returns where the tree with this key lies, or will lie.
    pub fn tree(&self, key: &Sha256Digest) -> PathBuf {
        self.root.join("trees").join(key.short())
    }

    /// Returns the folder of files with this key, if it is there.
    pub fn result(&self, key: &Sha256Digest) -> Option<PathBuf> {
        let folder = self.root.join("results").join(key.short());
        folder.is_dir().then_some(folder)
    }

    /// Notes that a tree or result was used, so that clearing up keeps it.
    pub fn note_use(&self, path: &Path) {
        // Worth no error: at worst it is made again one day.
        drop(fs_err::write(path.with_extension("used"), b""));
    }

    /// Returns a new path in `partial/`.
    pub fn partial(&self, name: &str) -> PathBuf {
        self.root
            .join("partial")
            .join(format!("{name}-{}", std::process::id()))
    }

    /// Returns everything left in `partial/` by builds that ended early.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.root.join("partial"))
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Makes a folder of files under its key: `make` fills an empty folder.
    pub fn make_result<E>(
        &self,
        key: &Sha256Digest,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E>
    where
        E: From<StoreError>,
    {
        let partial = self.partial(&format!("result-{}", key.short()));
        fs_err::create_dir_all(&partial).map_err(StoreError::Io)?;
        make(&partial)?;
        let target = self.root.join("results").join(key.short());
        fs_err::rename(&partial, &target).map_err(StoreError::Io)?;
        Ok(target)
    }

    /// Returns the root of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_written_into_the_current_folder() {
        let folder = tempfile::tempdir().unwrap();
        // nextest runs each test in a process of its own.
        std::env::set_current_dir(folder.path()).unwrap();
        write_atomically(Path::new("plain"), b"text").unwrap();
        assert_eq!(fs_err::read(folder.path().join("plain")).unwrap(), b"text");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
