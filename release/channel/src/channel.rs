//! A channel: what it says, and how it is made to say something else.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use content_digest::Sha256Digest;
use ota_bundle::{BundleError, WriteError};
use release_stores::{Content, Folder, Put, Store, StoreError};
use update_trust::{
    Expired, Files, MOST_FILE, Metadata, Release, Said, Seen, SignError, TrustError, Trusted,
    Validity,
};

use crate::keys::{Keys, KeysError};

/// Folder of the metadata.
pub(crate) const METADATA: &str = "metadata";
/// How long after its first file a change is taken for one that somebody is still at, in seconds.
const AT_IT: i64 = 600;
/// What devices look for first, and what leads them to all else.
const NEWEST: &str = "timestamp.json";

/// A channel cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A file of this machine cannot be read or written.
    #[error("cannot read or write a file")]
    Io(#[from] io::Error),
    /// The channel's files cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two at once.
    #[error(
        "somebody else changes the channel just now: do it again, in ten minutes if they were interrupted"
    )]
    Meanwhile,
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The bundle is none.
    #[error("{} cannot be published", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// The bundle cannot be copied.
    #[error(transparent)]
    Copy(#[from] WriteError),
    /// The channel is not signed by these keys.
    #[error("the channel was not signed by these keys")]
    Foreign(#[source] TrustError),
    /// There is nothing in it.
    #[error("{address} is no channel yet: `bakelite publish` makes one")]
    Empty {
        /// Where it would be.
        address: String,
    },
    /// The same version with other contents.
    #[error(
        "the channel has version {version} with other contents: give this one a version of its own"
    )]
    Other {
        /// The version.
        version: String,
    },
    /// No such version.
    #[error("the channel has no version {version}; it has {}", known.join(", "))]
    Unknown {
        /// What was looked for.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The release reaches everybody at once.
    #[error("version {version} has no wave: it is out for everybody, and can only be halted")]
    NoWave {
        /// The version.
        version: String,
    },
}

/// A channel, in a folder or in an object store.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) store: Arc<dyn Store>,
}

/// The files of a channel, as they are needed.
#[derive(Debug)]
struct Stored(Arc<dyn Store>);

impl Files for Stored {
    fn get(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.0.read(&format!("{METADATA}/{name}"));
        let bytes = bytes.map_err(io::Error::other)?;
        let is_too_long = |bytes: &Vec<u8>| bytes.len() as u64 > MOST_FILE;
        if bytes.as_ref().is_some_and(is_too_long) {
            return Err(io::Error::other(format!(
                "{name} is larger than a device takes: prune the channel"
            )));
        }
        Ok(bytes)
    }
}

/// What a channel says.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Version of its metadata.
    pub version: u64,
    /// All releases, the newest first.
    pub releases: Vec<(Sha256Digest, Said)>,
    /// What has expired.
    pub expired: Option<Expired>,
}

impl Channel {
    /// Takes a folder, which may be empty.
    pub fn new(folder: &Path) -> Self {
        Self::in_store(Arc::new(Folder {
            folder: folder.to_owned(),
            address: None,
        }))
    }

    /// Takes a place, which may be empty.
    pub fn in_store(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads all of the channel's metadata.
    pub fn metadata(&self) -> Result<Metadata, ChannelError> {
        let mut metadata = Metadata::default();
        for name in self.store.list(METADATA)? {
            if let Some(bytes) = self.store.read(&format!("{METADATA}/{name}"))? {
                metadata.insert(name, String::from_utf8_lossy(&bytes));
            }
        }
        Ok(metadata)
    }

    /// Returns what the channel says, if it says anything and these keys signed it. `now` is in seconds since 1970.
    pub fn contents(&self, keys: &Keys, now: i64) -> Result<Option<Contents>, ChannelError> {
        if self.store.read(&format!("{METADATA}/{NEWEST}"))?.is_none() {
            return Ok(None);
        }
        let oldest = keys.roots().first().map_or("", |(_, text)| text);
        let files = Stored(Arc::clone(&self.store));
        let trusted =
            update_trust::verify_as_needed(oldest.as_bytes(), files, &Seen::default(), now);
        let trusted = trusted.map_err(ChannelError::Foreign)?;
        Ok(Some(Contents::of(&trusted)))
    }

    /// Signs these releases as the channel's next version. Returns what was signed, which nobody sees yet.
    pub(crate) fn sign(
        &self,
        keys: &Keys,
        before: Option<&Contents>,
        releases: &[(Sha256Digest, Said)],
        now: i64,
    ) -> Result<(Metadata, u64), ChannelError> {
        let version = self.unused(before.map_or(0, |before| before.version), now)?;
        let releases: Vec<Release> = releases
            .iter()
            .map(|(digest, said)| Release {
                name: name_of(said),
                digest: *digest,
                length: said.manifest_length,
                said: as_map(said),
            })
            .collect();
        let when = (now, Validity::default());
        let signers = keys.signers()?;
        let signed = update_trust::release(&signers, keys.roots(), &releases, version, when)?;
        Ok((signed, version))
    }

    /// Returns the version that follows. What has a later number already is somebody else's, who is at it, or who was interrupted
    /// some time ago.
    fn unused(&self, newest: u64, now: i64) -> Result<u64, ChannelError> {
        let names = self.store.list(METADATA)?;
        let numbers = names
            .iter()
            .filter_map(|name| Some((numbered(name)?, name)));
        let last = numbers.filter(|(number, _)| *number > newest).max();
        let Some((number, name)) = last else {
            return Ok(newest + 1);
        };
        let modified = self.store.modified(&format!("{METADATA}/{name}"))?;
        if modified.is_some_and(|modified| now.saturating_sub(modified) < AT_IT) {
            return Err(ChannelError::Meanwhile);
        }
        Ok(number + 1)
    }

    /// Puts signed metadata there: first what nobody looks for yet, then what leads to it. Of two who do it at once one is told so.
    pub(crate) fn show(&self, signed: &Metadata) -> Result<(), ChannelError> {
        for last in [false, true] {
            for (name, text) in signed.iter().filter(|(name, _)| (*name == NEWEST) == last) {
                let mode = match numbered(name) {
                    Some(_) => Put::New,
                    None => Put::Replace,
                };
                self.put(&format!("{METADATA}/{name}"), text.as_bytes(), mode)?;
            }
        }
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8], mode: Put) -> Result<(), ChannelError> {
        match self.store.put(name, Content::Bytes(bytes), mode) {
            Err(error) if error.is_there() => Err(ChannelError::Meanwhile),
            result => Ok(result?),
        }
    }

    /// Puts a large file there, which is written on this machine first.
    pub(crate) fn put_large(
        &self,
        name: &str,
        write: impl FnOnce(&mut std::fs::File) -> Result<(), ChannelError>,
    ) -> Result<(), ChannelError> {
        let mut file = tempfile::NamedTempFile::new()?;
        write(file.as_file_mut())?;
        file.as_file_mut().flush()?;
        Ok(self
            .store
            .put(name, Content::File(file.path()), Put::Replace)?)
    }
}

/// Returns the number of a file that is written once: of the targets and the snapshots. Roots are the same each time.
pub(crate) fn numbered(name: &str) -> Option<u64> {
    let (number, role) = name.split_once('.')?;
    let is_once = matches!(role, "targets.json" | "snapshot.json");
    is_once.then(|| number.parse().ok()).flatten()
}

impl Contents {
    fn of(trusted: &Trusted) -> Self {
        let mut releases: Vec<_> = trusted.releases().collect();
        releases.sort_by_key(|(_, said)| std::cmp::Reverse((said.published, said.created)));
        Self {
            version: trusted.versions.1,
            releases,
            expired: trusted.expired.clone(),
        }
    }

    /// Returns the place of a version.
    pub(crate) fn find(&self, version: &str) -> Result<usize, ChannelError> {
        let place = self
            .releases
            .iter()
            .position(|(_, said)| said.version == version);
        place.ok_or_else(|| ChannelError::Unknown {
            version: version.into(),
            known: self
                .releases
                .iter()
                .map(|(_, said)| said.version.clone())
                .collect(),
        })
    }
}

/// Name of a release among the targets.
pub(crate) fn name_of(said: &Said) -> String {
    format!("{}-{}", said.product, said.version)
}

fn as_map(said: &Said) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(said) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}
