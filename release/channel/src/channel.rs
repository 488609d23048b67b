//! A channel's folder: what it says, and how it is made to say something else.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use ota_bundle::{BundleError, WriteError};
use update_trust::{
    Expired, Metadata, Release, Said, Seen, SignError, TrustError, Trusted, Validity,
};

use crate::keys::{Keys, KeysError};

/// Folder of the metadata.
const METADATA: &str = "metadata";
/// What devices look for first, and what leads them to all else.
const NEWEST: &str = "timestamp.json";

/// A channel cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A file cannot be read or written.
    #[error("cannot read or write the channel")]
    Io(#[from] io::Error),
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
    #[error("{} is no channel yet: `bakelite publish` makes one", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
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

/// A channel's folder.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) folder: PathBuf,
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
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Reads the channel's metadata.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let mut metadata = Metadata::default();
        match fs_err::read_dir(self.folder.join(METADATA)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries? {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.ends_with(".json") {
                        metadata.insert(name, fs_err::read_to_string(entry.path())?);
                    }
                }
            }
        }
        Ok(metadata)
    }

    /// Returns what the channel says, if it says anything and these keys signed it. `now` is in seconds since 1970.
    pub fn contents(&self, keys: &Keys, now: i64) -> Result<Option<Contents>, ChannelError> {
        let metadata = self.metadata()?;
        if metadata.get(NEWEST).is_none() {
            return Ok(None);
        }
        let oldest = keys.roots().first().map_or("", |(_, text)| text);
        let trusted = update_trust::verify(oldest.as_bytes(), &metadata, &Seen::default(), now);
        let trusted = trusted.map_err(ChannelError::Foreign)?;
        Ok(Some(Contents::of(&trusted)))
    }

    /// Signs these releases as the channel's next version. Returns what was signed, which nobody sees yet.
    pub(crate) fn sign(
        keys: &Keys,
        before: Option<&Contents>,
        releases: &[(Sha256Digest, Said)],
        now: i64,
    ) -> Result<(Metadata, u64), ChannelError> {
        let version = before.map_or(0, |before| before.version) + 1;
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

    /// Puts signed metadata there: first what nobody looks for yet, then what leads to it.
    pub(crate) fn show(&self, signed: &Metadata) -> Result<(), ChannelError> {
        for last in [false, true] {
            for (name, text) in signed.iter().filter(|(name, _)| (*name == NEWEST) == last) {
                put(&self.folder.join(METADATA).join(name), |copy| {
                    Ok(copy.write_all(text.as_bytes())?)
                })?;
            }
        }
        Ok(())
    }
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

/// Writes a file so that it is there whole or not at all.
pub(crate) fn put(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), ChannelError>,
) -> Result<(), ChannelError> {
    let folder = path.parent().unwrap_or(path);
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()?;
    Ok(())
}
