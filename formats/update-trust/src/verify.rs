//! Decides what is trusted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use content_digest::Sha256Digest;
use futures_util::stream;
use tough::{
    Bytes, ExpirationEnforcement, Limits, RepositoryLoader, Transport, TransportError,
    TransportErrorKind, TransportStream,
};
use url::Url;

use crate::run;
use crate::{Metadata, Said, Seen};

/// No host has this name (RFC 2606): everything comes from memory.
const NOWHERE: &str = "https://metadata.invalid/";
/// Largest file of metadata, in bytes: endless data must not fill a device's memory. It is room for a thousand releases.
pub const MOST_FILE: u64 = 1 << 20;
/// `tough` keeps its own clock in this file; a device without a battery cannot keep one.
const CLOCK: &str = "latest_known_time.json";

/// Metadata is older than its makers wanted it to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Which role.
    pub role: &'static str,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// What is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// Digests that were vouched for, by name, with what was said of them.
    targets: BTreeMap<String, (Sha256Digest, serde_json::Map<String, serde_json::Value>)>,
    /// What has expired by the time that was told. With a network this refuses; without one it is a warning, since a stick in
    /// a drawer cannot be renewed.
    pub expired: Option<Expired>,
    /// What was seen now, to be kept.
    pub seen: Seen,
    /// Versions of root and timestamp.
    pub versions: (u64, u64),
}

impl Trusted {
    /// Returns the digest that was vouched for under a name.
    pub fn digest(&self, name: &str) -> Option<Sha256Digest> {
        self.targets.get(name).map(|(digest, _)| *digest)
    }

    /// Whether a digest was vouched for, under any name.
    pub fn vouches_for(&self, digest: Sha256Digest) -> bool {
        self.targets.values().any(|(found, _)| *found == digest)
    }

    /// Returns all releases with what was said of them. Those of which something else is said are passed over.
    pub fn releases(&self) -> impl Iterator<Item = (Sha256Digest, Said)> {
        self.targets.values().filter_map(|(digest, said)| {
            let said = serde_json::Value::Object(said.clone());
            Some((*digest, serde_json::from_value(said).ok()?))
        })
    }

    /// Returns all names, with their digests and what was said of them.
    pub fn targets(
        &self,
    ) -> impl Iterator<
        Item = (
            &str,
            Sha256Digest,
            &serde_json::Map<String, serde_json::Value>,
        ),
    > {
        self.targets
            .iter()
            .map(|(name, (digest, said))| (name.as_str(), *digest, said))
    }
}

/// Nothing is trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Files of the device cannot be used.
    #[error("cannot check who released the update")]
    Io(#[from] std::io::Error),
    /// The metadata is not vouched for.
    #[error("nobody whom this device trusts released this: {}", why.join(": "))]
    Refused {
        /// Why, outermost first.
        why: Vec<String>,
    },
}

/// Files of metadata, from wherever they are.
pub trait Files: std::fmt::Debug + Send {
    /// Returns a file, or that there is none. It is asked for only once what leads to it was checked, and never for more than
    /// [`MOST_FILE`] bytes.
    fn get(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>>;
}

impl Files for Metadata {
    fn get(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        let text = Self::get(self, name);
        Ok(text.map(|text| text.as_bytes().to_vec()))
    }
}

/// `tough` asks for files by address, and copies whom it asks.
#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Box<dyn Files>>>);

#[async_trait]
impl Transport for Shared {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().trim_start_matches('/');
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match files.get(name) {
            Ok(Some(bytes)) => Ok(Box::pin(stream::iter([Ok(Bytes::from(bytes))]))),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
            Err(error) => {
                let kind = TransportErrorKind::Other;
                Err(TransportError::new_with_cause(kind, url, error))
            }
        }
    }
}

/// Checks metadata against the root that a device was made with, and what it has seen. `now` is in seconds since 1970.
pub fn verify(
    root: &[u8],
    metadata: &Metadata,
    seen: &Seen,
    now: i64,
) -> Result<Trusted, TrustError> {
    verify_as_needed(root, metadata.clone(), seen, now)
}

/// The same for files that are fetched: each is asked for once what leads to it was checked.
pub fn verify_as_needed(
    root: &[u8],
    files: impl Files + 'static,
    seen: &Seen,
    now: i64,
) -> Result<Trusted, TrustError> {
    let folder = tempfile::tempdir()?;
    for (name, text) in seen.iter().filter(|(name, _)| is_plain(name)) {
        fs_err::write(folder.path().join(name), text)?;
    }
    let files = Shared(Arc::new(Mutex::new(Box::new(files))));
    run(load(seen.newest_root(root), files, folder.path(), now))?
}

/// A name of one folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.') && name != CLOCK
}

async fn load(root: &[u8], files: Shared, folder: &Path, now: i64) -> Result<Trusted, TrustError> {
    let nowhere = Url::parse(NOWHERE).expect("an address");
    let limits = Limits {
        max_root_size: 256 << 10,
        max_targets_size: MOST_FILE,
        max_timestamp_size: 64 << 10,
        max_snapshot_size: 256 << 10,
        max_root_updates: 1024,
    };
    // Expiry is looked at below, by the time that was told.
    let loader = RepositoryLoader::new(&root, nowhere.clone(), nowhere)
        .transport(files)
        .datastore(folder)
        .limits(limits)
        .expiration_enforcement(ExpirationEnforcement::Unsafe);
    let repository = loader.load().await.map_err(|error| refused(&error))?;
    let mut targets = BTreeMap::new();
    for (name, target) in repository.all_targets() {
        let digest: Option<[u8; 32]> = target.hashes.sha256.as_ref().try_into().ok();
        if let Some(digest) = digest {
            let said = target.custom.clone().into_iter().collect();
            targets.insert(name.raw().to_owned(), (Sha256Digest::from(digest), said));
        }
    }
    let roles = [
        ("root", repository.root().signed.expires),
        ("timestamp", repository.timestamp().signed.expires),
        ("snapshot", repository.snapshot().signed.expires),
        ("targets", repository.targets().signed.expires),
    ];
    let since = roles.map(|(role, expires)| Expired {
        role,
        since: expires.as_second(),
    });
    Ok(Trusted {
        targets,
        expired: since
            .into_iter()
            .filter(|role| role.since <= now)
            .min_by_key(|role| role.since),
        seen: gather(folder)?,
        versions: (
            repository.root().signed.version.get(),
            repository.timestamp().signed.version.get(),
        ),
    })
}

fn gather(folder: &Path) -> std::io::Result<Seen> {
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_plain(&name) {
            files.insert(name, fs_err::read_to_string(entry.path())?);
        }
    }
    Ok(Seen::new(files))
}

fn refused(error: &tough::error::Error) -> TrustError {
    let mut why = vec![error.to_string()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        why.push(cause.to_string());
        next = cause.source();
    }
    why.dedup();
    TrustError::Refused { why }
}
