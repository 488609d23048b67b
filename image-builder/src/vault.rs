//! Every package that was ever locked, by content: `vault/<first two digits>/<sha256>.deb`.
//!
//! A package is downloaded once. What lies under its digest was checked against it; downloads under
//! way lie in `vault/partial/` and are gone on with after a break. Several caches may share a vault: one build
//! at a time fetches, and holds `vault/lock` meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use content_digest::Sha256Digest;
use nix::fcntl::{Flock, FlockArg};

use crate::Host;
use crate::download::{DownloadError, Downloader};
use crate::event::{Event, Sink};
use crate::lock::LockedPackage;
use crate::mirror;

/// Connections at a time; mirrors ask for few.
const CONNECTIONS: usize = 6;

/// A package cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The mirror, and the archive's history, have it no more.
    #[error(
        "package {package} {version} is gone: neither the vault, nor the mirror, nor the snapshot archive has it"
    )]
    Vanished {
        /// Name.
        package: String,
        /// Version.
        version: String,
        /// The mirror's answer.
        #[source]
        source: Box<DownloadError>,
    },
    /// The download failed.
    #[error("cannot fetch package {package} {version}")]
    Download {
        /// Name.
        package: String,
        /// Version.
        version: String,
        /// Why.
        #[source]
        source: Box<DownloadError>,
    },
    /// The vault cannot be written.
    #[error("cannot write the vault")]
    Write(#[source] std::io::Error),
}

/// The store of packages.
#[derive(Debug, Clone)]
pub struct Vault {
    root: PathBuf,
}

impl Vault {
    /// Uses the vault of the host's cache.
    pub fn new(host: &Host) -> Self {
        Self {
            root: host.cache_folder("vault"),
        }
    }

    /// Returns the vault's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a package lies, relative to the vault.
    pub fn relative(digest: &Sha256Digest) -> String {
        let digest = digest.to_string();
        format!("{}/{digest}.deb", &digest[..2])
    }

    /// Returns where a package lies.
    pub fn path(&self, digest: &Sha256Digest) -> PathBuf {
        self.root.join(Self::relative(digest))
    }

    /// Returns which of `packages` would have to be downloaded.
    pub fn missing<'p>(&self, packages: &[&'p LockedPackage]) -> Vec<&'p LockedPackage> {
        let absent = |package: &&&LockedPackage| {
            fs_err::metadata(self.path(&package.sha256))
                .map_or(true, |data| data.len() != package.size)
        };
        let mut missing: Vec<_> = packages.iter().filter(absent).copied().collect();
        missing.sort_by_key(|package| std::cmp::Reverse(package.size));
        missing.dedup_by_key(|package| package.sha256);
        missing
    }

    /// Downloads what is missing, several at a time.
    pub fn fill(
        &self,
        host: &Host,
        downloader: &Downloader,
        packages: &[&LockedPackage],
        sink: Sink<'_>,
    ) -> Result<(), VaultError> {
        if self.missing(packages).is_empty() {
            return Ok(());
        }
        fs_err::create_dir_all(self.root.join("partial")).map_err(VaultError::Write)?;
        let _lock = self.lock().map_err(VaultError::Write)?;
        // Whoever had the lock before may have fetched the same.
        let missing = self.missing(packages);
        let total: u64 = missing.iter().map(|package| package.size).sum();
        let (done, next) = (AtomicU64::new(0), AtomicUsize::new(0));
        let failure = Mutex::new(None);
        let sink = Mutex::new(sink);
        let progress = |count: u64| {
            let done = done.fetch_add(count, Ordering::Relaxed) + count;
            // Bytes that were told already are not missed when another thread is telling.
            if let Ok(mut sink) = sink.try_lock() {
                sink(Event::Progress {
                    done,
                    total,
                    unit: "bytes".into(),
                });
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS.min(missing.len()) {
                scope.spawn(|| {
                    while let Some(package) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if failure.lock().expect("no panics while held").is_some() {
                            return;
                        }
                        if let Err(error) = self.fetch(host, downloader, package, &progress) {
                            failure
                                .lock()
                                .expect("no panics while held")
                                .get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        failure
            .into_inner()
            .expect("no panics while held")
            .map_or(Ok(()), Err)
    }

    fn lock(&self) -> std::io::Result<Flock<std::fs::File>> {
        let file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join("lock"))?;
        Flock::lock(file.into_parts().0, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
    }

    fn fetch(
        &self,
        host: &Host,
        downloader: &Downloader,
        package: &LockedPackage,
        progress: &dyn Fn(u64),
    ) -> Result<(), VaultError> {
        let mirror = host
            .mirrors
            .base(&package.archive, package.mirror.as_deref());
        let url = format!("{mirror}/{}", package.path);
        let fail = |source: DownloadError| VaultError::Download {
            package: package.name.clone(),
            version: package.version.to_string(),
            source: Box::new(source),
        };
        match self.fetch_from(downloader, package, &url, progress) {
            Ok(()) => Ok(()),
            Err(VaultError::Download { source, .. }) if source.is_absent() => {
                let snapshot = host.mirrors.base("snapshot", Some(mirror::SNAPSHOT));
                let url = format!(
                    "{snapshot}/{}/{}/{}",
                    package.archive, package.seen, package.path
                );
                self.fetch_from(downloader, package, &url, progress)
                    .map_err(|error| match error {
                        VaultError::Download { .. } => VaultError::Vanished {
                            package: package.name.clone(),
                            version: package.version.to_string(),
                            source,
                        },
                        other => other,
                    })
            }
            Err(VaultError::Download { source, .. }) => Err(fail(*source)),
            Err(other) => Err(other),
        }
    }

    fn fetch_from(
        &self,
        downloader: &Downloader,
        package: &LockedPackage,
        url: &str,
        progress: &dyn Fn(u64),
    ) -> Result<(), VaultError> {
        let partial = self.root.join("partial").join(package.sha256.to_string());
        let fail = |source| VaultError::Download {
            package: package.name.clone(),
            version: package.version.to_string(),
            source: Box::new(source),
        };
        // A cut transfer that was gone on with may be spoilt: once more from the start, then give up.
        for last in [false, true] {
            downloader
                .fetch_to(url, &partial, package.size, progress)
                .map_err(fail)?;
            let (found, _) = Sha256Digest::of_file(&partial).map_err(VaultError::Write)?;
            if found == package.sha256 {
                break;
            }
            fs_err::remove_file(&partial).map_err(VaultError::Write)?;
            if last {
                return Err(fail(DownloadError::HashMismatch {
                    url: url.to_owned(),
                    expected: package.sha256,
                    found,
                }));
            }
        }
        let target = self.path(&package.sha256);
        let folder = target.parent().expect("the path has two parts");
        let publish = || {
            fs_err::create_dir_all(folder)?;
            fs_err::File::open(&partial)?.sync_all()?;
            fs_err::rename(&partial, &target)
        };
        publish().map_err(VaultError::Write)
    }
}
