//! Adds a bundle to a channel.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use ota_bundle::{Bundle, BundleError, HEAD_LENGTH, Head, Manifest, Unverified, WriteError};
use serde_json::json;
use update_trust::{Metadata, Release, Seen, SignError, TrustError, Trusted, Validity};

use crate::keys::{Keys, KeysError};

/// A bundle could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
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
    Channel(#[source] TrustError),
    /// The same version with other contents.
    #[error(
        "the channel has version {version} with other contents: give this one a version of its own"
    )]
    Other {
        /// The version.
        version: String,
    },
}

/// A channel's folder.
#[derive(Debug, Clone)]
pub struct Channel {
    folder: PathBuf,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its manifest.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub id: Sha256Digest,
    /// Version of the metadata.
    pub version: u64,
    /// The bundle's file.
    pub bundle: PathBuf,
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
        match fs_err::read_dir(self.folder.join("metadata")) {
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

    /// Returns what the channel says now, if it says anything.
    fn now(&self, keys: &Keys, now: i64) -> Result<Option<Trusted>, PublishError> {
        let metadata = self.metadata()?;
        if metadata.get("timestamp.json").is_none() {
            return Ok(None);
        }
        let oldest = keys.roots().first().map_or("", |(_, text)| text);
        let trusted = update_trust::verify(oldest.as_bytes(), &metadata, &Seen::default(), now);
        trusted.map(Some).map_err(PublishError::Channel)
    }

    /// Signs a bundle and adds it. Published again, it only renews the signatures. `now` is in seconds since 1970.
    pub fn publish(&self, keys: &Keys, bundle: &Path, now: i64) -> Result<Published, PublishError> {
        let (manifest, id, length) = read(bundle)?;
        let name = format!("{}-{}", manifest.product, manifest.version);
        let file = format!("bundles/{name}.upd");
        let before = self.now(keys, now)?;
        let version = before.as_ref().map_or(0, |before| before.versions.1) + 1;
        let mut releases = Vec::new();
        for (other, digest, said) in before.iter().flat_map(Trusted::targets) {
            if other == name && digest != id {
                return Err(PublishError::Other {
                    version: manifest.version,
                });
            }
            if other != name {
                releases.push(Release {
                    name: other.to_owned(),
                    digest,
                    length: said
                        .get("manifest-length")
                        .and_then(serde_json::Value::as_u64)
                        .unwrap_or(0),
                    said: said.clone(),
                });
            }
        }
        let said = json!({
            "product": manifest.product, "version": manifest.version, "created": manifest.created,
            "rollback-index": manifest.rollback_index, "bundle": file, "manifest-length": length,
        });
        releases.push(Release {
            name,
            digest: id,
            length,
            said: said.as_object().cloned().unwrap_or_default(),
        });
        let signed = update_trust::release(
            &keys.signers()?,
            keys.roots(),
            &releases,
            version,
            (now, Validity::default()),
        )?;
        // First what nobody looks for yet, then what leads to it.
        let target = self.folder.join(&file);
        put(&target, |copy| {
            let mut from = fs_err::File::open(bundle)?;
            Ok(ota_bundle::with_trust(&mut from, &signed.to_bytes(), copy)?)
        })?;
        let newest = |name: &str| name == "timestamp.json";
        for last in [false, true] {
            for (name, text) in signed.iter().filter(|(name, _)| newest(name) == last) {
                put(&self.folder.join("metadata").join(name), |copy| {
                    Ok(copy.write_all(text.as_bytes())?)
                })?;
            }
        }
        Ok(Published {
            manifest,
            id,
            version,
            bundle: target,
        })
    }
}

/// Writes a file so that it is there whole or not at all.
fn put(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), PublishError>,
) -> Result<(), PublishError> {
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

/// Reads a bundle's manifest, its digest and its length. Whoever publishes it vouches for it.
fn read(path: &Path) -> Result<(Manifest, Sha256Digest, u64), PublishError> {
    let bad = |source| PublishError::Bundle {
        path: path.to_owned(),
        source,
    };
    let mut file = fs_err::File::open(path)?;
    let mut bytes = vec![0; HEAD_LENGTH];
    file.read_exact(&mut bytes)?;
    let head = Head::from_bytes(bytes.first_chunk().expect("a head")).map_err(bad)?;
    std::io::Read::by_ref(&mut file)
        .take(head.metadata() - HEAD_LENGTH as u64)
        .read_to_end(&mut bytes)?;
    let bundle: Bundle<Unverified> = Bundle::read(&bytes).map_err(bad)?;
    let (id, length) = (
        Sha256Digest::of(bundle.manifest_bytes()),
        bundle.manifest_bytes().len() as u64,
    );
    let there = fs_err::metadata(path)?.len();
    if there != bundle.length() {
        return Err(bad(BundleError::TooShort {
            found: there,
            needed: bundle.length(),
        }));
    }
    let verified = bundle.verify(id).map_err(bad)?;
    Ok((verified.manifest().clone(), id, length))
}
