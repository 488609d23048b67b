//! Unpacks `.deb` files into the tree that this process is confined to, several at a time.
//!
//! Packages are verified, then read once, straight to their final places. What order would decide
//! under dpkg (who owns a folder's mode, whose file wins) is decided here by the order of the
//! packages, not by which thread is quicker: the tree is the same on every machine.

mod entry;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use apt_repository::deb::{DebError, DebFile};
use apt_repository::relation;
use content_digest::{HashingReader, Sha256Digest};

pub use entry::EntryError;

/// A package may unpack to this many times the size that its archive states …
const BOMB_FACTOR: u64 = 8;
/// … plus this many bytes, before it is taken for a decompression bomb.
const BOMB_ALLOWANCE: u64 = 256 << 20;

/// A package to be unpacked.
#[derive(Debug)]
pub struct Archive {
    /// Name, for messages and for the order.
    pub name: String,
    /// The file, opened.
    pub deb: DebFile<fs_err::File>,
    /// Packages whose files this one may replace (`Replaces:`).
    pub replaces: Vec<String>,
    /// Unpacked size in bytes that is too much.
    pub limit: u64,
}

/// What a package put into the tree.
#[derive(Debug)]
pub struct Contents {
    /// Name of the package.
    pub name: String,
    /// Paths as dpkg lists them: `/.`, `/usr`, …
    pub paths: Vec<String>,
}

/// A package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The file cannot be read.
    #[error("cannot read package {package}")]
    Read {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file changed since it was verified.
    #[error(
        "package {package} has SHA-256 {found}, but {expected} was locked: the vault is damaged, remove that file"
    )]
    HashMismatch {
        /// The package.
        package: String,
        /// Digest found.
        found: Sha256Digest,
        /// Digest locked.
        expected: Sha256Digest,
    },
    /// The file is not a package.
    #[error("package {package} is malformed")]
    Deb {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: DebError,
    },
    /// An entry was refused or could not be made.
    #[error("package {package}, entry {path}")]
    Entry {
        /// The package.
        package: String,
        /// The entry.
        path: String,
        /// Why.
        #[source]
        source: EntryError,
    },
}

/// Opens a package and checks its digest; nothing is unpacked yet.
pub fn open(
    name: &str,
    file: &Path,
    expected: Sha256Digest,
    installed_kib: u64,
) -> Result<Archive, UnpackError> {
    let read = |source| UnpackError::Read {
        package: name.to_owned(),
        source,
    };
    let mut file = fs_err::File::open(file).map_err(read)?;
    let mut reader = HashingReader::new(&mut file);
    io::copy(&mut reader, &mut io::sink()).map_err(read)?;
    let found = reader.finish();
    if found != expected {
        return Err(UnpackError::HashMismatch {
            package: name.to_owned(),
            found,
            expected,
        });
    }
    file.rewind().map_err(read)?;
    let deb = DebFile::open(file).map_err(|source| UnpackError::Deb {
        package: name.to_owned(),
        source,
    })?;
    let control = String::from_utf8_lossy(&deb.control()["control"]).into_owned();
    let stanza = apt_repository::control::stanzas(&control).next();
    let replaces = stanza
        .and_then(Result::ok)
        .and_then(|stanza| Some(stanza.get("Replaces")?.to_owned()));
    let replaces = relation::parse(&replaces.unwrap_or_default()).unwrap_or_default();
    Ok(Archive {
        name: name.to_owned(),
        deb,
        replaces: replaces
            .into_iter()
            .flat_map(|group| group.0)
            .map(|relation| relation.name)
            .collect(),
        limit: installed_kib * 1024 * BOMB_FACTOR + BOMB_ALLOWANCE,
    })
}

/// What is known of the tree across several calls.
#[derive(Debug, Default)]
pub struct Tree {
    /// Which package owns a file, by path.
    owners: Mutex<HashMap<PathBuf, entry::FileOwner>>,
    /// Told whenever a file is whole.
    written: Condvar,
    names: Vec<(String, Vec<String>)>,
    /// Owner and mode of folders, from the first package that has them.
    folders: Mutex<BTreeMap<PathBuf, entry::Folder>>,
    mounted: BTreeMap<PathBuf, entry::Folder>,
    diversions: HashMap<PathBuf, (PathBuf, String)>,
}

impl Tree {
    /// Reads the diversions that scripts have made (dpkg-divert(1)).
    pub fn read_diversions(&mut self) {
        let text = fs_err::read_to_string("/var/lib/dpkg/diversions").unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        self.diversions = lines
            .chunks_exact(3)
            .map(|record| {
                (
                    PathBuf::from(record[0]),
                    (PathBuf::from(record[1]), record[2].to_owned()),
                )
            })
            .collect();
    }

    /// Unpacks packages with `threads` threads; earlier ones take precedence where order matters.
    pub fn unpack(
        &mut self,
        archives: Vec<Archive>,
        threads: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Contents>, UnpackError> {
        let first = self.names.len();
        self.names.extend(
            archives
                .iter()
                .map(|a| (a.name.clone(), a.replaces.clone())),
        );
        // The largest first, so that no thread is left alone with it at the end.
        let mut queue: Vec<(usize, Archive)> = archives
            .into_iter()
            .enumerate()
            .map(|(i, a)| (first + i, a))
            .collect();
        // The package with the top folders and links goes before all: others follow /lib into /usr/lib.
        if let Some(position) = queue
            .iter()
            .position(|(_, archive)| archive.name == "base-files")
        {
            let (number, mut archive) = queue.remove(position);
            let paths = self.unpack_one(number, &mut archive)?;
            return self.unpack_rest(
                queue,
                threads,
                progress,
                vec![(
                    number,
                    Contents {
                        name: archive.name,
                        paths,
                    },
                )],
            );
        }
        self.unpack_rest(queue, threads, progress, Vec::new())
    }

    fn unpack_rest(
        &self,
        mut queue: Vec<(usize, Archive)>,
        threads: usize,
        progress: &(dyn Fn(usize) + Sync),
        done: Vec<(usize, Contents)>,
    ) -> Result<Vec<Contents>, UnpackError> {
        queue.sort_by_key(|(_, archive)| std::cmp::Reverse(archive.deb.data_compression().1));
        let queue: Vec<Mutex<(usize, Archive)>> = queue.into_iter().map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(done);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    while let Some(job) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if failure.lock().expect("no panic while held").is_some() {
                            return;
                        }
                        let (number, archive) = &mut *job.lock().expect("taken once");
                        match self.unpack_one(*number, archive) {
                            Ok(paths) => {
                                let mut done = done.lock().expect("no panic while held");
                                done.push((
                                    *number,
                                    Contents {
                                        name: archive.name.clone(),
                                        paths,
                                    },
                                ));
                                progress(done.len());
                            }
                            Err(error) => {
                                failure
                                    .lock()
                                    .expect("no panic while held")
                                    .get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = failure.into_inner().expect("no panic while held") {
            return Err(error);
        }
        let mut done = done.into_inner().expect("no panic while held");
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, contents)| contents).collect())
    }

    fn unpack_one(&self, number: usize, archive: &mut Archive) -> Result<Vec<String>, UnpackError> {
        let name = archive.name.clone();
        let deb = |source| UnpackError::Deb {
            package: name.clone(),
            source,
        };
        let limit = archive.limit;
        let data = archive.deb.data().map_err(deb)?;
        let mut tarball = tar::Archive::new(data.take(limit));
        let mut paths = Vec::new();
        let mut total = 0;
        for entry in tarball.entries().map_err(|e| deb(DebError::Read(e)))? {
            let mut entry = entry.map_err(|e| deb(DebError::Read(e)))?;
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            total += entry.size();
            let made = if total > limit {
                Err(EntryError::Bomb { limit })
            } else {
                self.make(number, &mut entry)
            };
            match made {
                Ok(path) => paths.push(path),
                Err(source) => {
                    return Err(UnpackError::Entry {
                        package: name,
                        path: shown,
                        source,
                    });
                }
            }
        }
        Ok(paths)
    }

    /// Sets owners, modes and times of the folders that were made since the last call.
    pub fn settle_folders(&mut self) -> io::Result<()> {
        self.settle_new_folders()
    }

    /// Sets them for folders that other file systems were mounted over, now that those are gone.
    pub fn settle_mounted(&self) -> io::Result<()> {
        self.settle_mounted_folders()
    }
}
