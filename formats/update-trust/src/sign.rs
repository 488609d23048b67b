//! Makes keys, roots and signed metadata.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use content_digest::Sha256Digest;
use jiff::{Timestamp, ToSpan as _};
use tough::editor::RepositoryEditor;
use tough::key_source::KeySource;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{Hashes, Target};
use tough::sign::Sign;

use crate::{Metadata, run};

/// Signing failed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file cannot be read or written.
    #[error("cannot read or write the keys")]
    Io(#[from] std::io::Error),
    /// A key cannot be used.
    #[error("the key cannot be used: {what}")]
    Key {
        /// Why.
        what: String,
    },
    /// The metadata cannot be signed.
    #[error("the metadata cannot be signed: {what}")]
    Sign {
        /// Why.
        what: String,
    },
}

pub(crate) fn sign_error(error: impl std::fmt::Display) -> SignError {
    SignError::Sign {
        what: error.to_string(),
    }
}

/// A private key that was just made: PKCS #8 (RFC 5958). It is never printed.
pub struct NewKey {
    /// The private key's bytes.
    pkcs8: Vec<u8>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewKey")
    }
}

impl NewKey {
    /// Makes an Ed25519 key (RFC 8032).
    pub fn make() -> Result<Self, SignError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let pkcs8 = made.map_err(|error| SignError::Key {
            what: error.to_string(),
        })?;
        Ok(Self {
            pkcs8: pkcs8.as_ref().to_vec(),
        })
    }

    /// Returns what is written into the key's file.
    pub fn reveal(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// Who can sign: a file, an agent, a program.
#[async_trait]
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// Returns the public half as the framework writes it.
    fn public(&self) -> Result<Key, SignError>;
    /// Signs bytes.
    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub(crate) tough::schema::key::Key);

impl Key {
    /// Takes the 32 bytes of an Ed25519 key (RFC 8032).
    pub fn ed25519(public: &[u8; 32]) -> Result<Self, SignError> {
        let value = serde_json::json!({
            "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": hex::encode(public) }
        });
        serde_json::from_value(value).map(Self).map_err(sign_error)
    }

    /// Returns its id, hexadecimal.
    pub fn id(&self) -> String {
        self.0.key_id().map(|id| hex_of(&id)).unwrap_or_default()
    }
}

fn hex_of(id: &Decoded<Hex>) -> String {
    hex::encode(id.as_ref())
}

/// A key in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSigner {
    /// The file.
    pub path: PathBuf,
}

impl FileSigner {
    fn pair(&self) -> Result<Ed25519KeyPair, SignError> {
        let bytes = fs_err::read(&self.path)?;
        Ed25519KeyPair::from_pkcs8(&bytes).map_err(|error| SignError::Key {
            what: format!("{}: {error}", self.path.display()),
        })
    }
}

#[async_trait]
impl Signer for FileSigner {
    fn public(&self) -> Result<Key, SignError> {
        Ok(Key(Sign::tuf_key(&self.pair()?)))
    }

    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.pair()?.sign(bytes).as_ref().to_vec())
    }
}

/// A signer in the form that `tough` asks for.
#[derive(Debug, Clone)]
struct Source(std::sync::Arc<dyn Signer>, Key);

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl KeySource for Source {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, AnyError> {
        Ok(Box::new(self.clone()))
    }

    async fn write(&self, _value: &str, _id: &str) -> Result<(), AnyError> {
        Err("keys are not written here".into())
    }
}

#[async_trait]
impl Sign for Source {
    fn tuf_key(&self) -> tough::schema::key::Key {
        self.1.0.clone()
    }

    async fn sign(
        &self,
        bytes: &[u8],
        _random: &(dyn aws_lc_rs::rand::SecureRandom + Sync),
    ) -> Result<Vec<u8>, AnyError> {
        Ok(self.0.sign(bytes).await?)
    }
}

pub(crate) fn sources(
    signers: &[std::sync::Arc<dyn Signer>],
) -> Result<Vec<Box<dyn KeySource>>, SignError> {
    let source = |signer: &std::sync::Arc<dyn Signer>| -> Result<Box<dyn KeySource>, SignError> {
        Ok(Box::new(Source(
            std::sync::Arc::clone(signer),
            signer.public()?,
        )))
    };
    signers.iter().map(source).collect()
}

/// For how long metadata may be used, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The root: long, since it is renewed by hand.
    pub root: i64,
    /// What is released.
    pub targets: i64,
    /// That this is the newest: short, and renewed by itself.
    pub timestamp: i64,
}

impl Default for Validity {
    fn default() -> Self {
        Self {
            root: 3650,
            targets: 365,
            timestamp: 30,
        }
    }
}

/// What is released: a name, the digest and length of a manifest, and what devices need to know to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Name of the target.
    pub name: String,
    /// Digest of the manifest.
    pub digest: Sha256Digest,
    /// Its length in bytes.
    pub length: u64,
    /// What is said of it.
    pub said: serde_json::Map<String, serde_json::Value>,
}

pub(crate) fn days_from(now: i64, days: i64) -> Result<Timestamp, SignError> {
    let now = Timestamp::from_second(now).map_err(sign_error)?;
    now.checked_add((days * 24).hours()).map_err(sign_error)
}

/// Signs what is released, as version `version` of a repository with these roots, the oldest first.
pub fn release(
    signers: &[std::sync::Arc<dyn Signer>],
    roots: &[(u64, String)],
    releases: &[Release],
    version: u64,
    (now, validity): (i64, Validity),
) -> Result<Metadata, SignError> {
    let sources = sources(signers)?;
    let folder = tempfile::tempdir()?;
    let newest = roots.last().ok_or_else(|| sign_error("there is no root"))?;
    let file = folder.path().join("root.json");
    fs_err::write(&file, &newest.1)?;
    let version = NonZeroU64::new(version).ok_or_else(|| sign_error("versions begin with 1"))?;
    let (targets, timestamp) = (
        days_from(now, validity.targets)?,
        days_from(now, validity.timestamp)?,
    );
    let signed = run(async {
        let mut editor = RepositoryEditor::new(&file).await?;
        editor.targets_version(version)?.targets_expires(targets)?;
        editor.snapshot_version(version).snapshot_expires(targets);
        editor
            .timestamp_version(version)
            .timestamp_expires(timestamp);
        for release in releases {
            let target = Target {
                length: release.length,
                hashes: Hashes {
                    sha256: release.digest.as_bytes().to_vec().into(),
                    _extra: HashMap::new(),
                },
                custom: release.said.clone().into_iter().collect(),
                _extra: HashMap::new(),
            };
            editor.add_target(release.name.as_str(), target)?;
        }
        editor.sign(&sources).await
    })?
    .map_err(|error: tough::error::Error| sign_error(error))?;
    let out = folder.path().join("out");
    fs_err::create_dir(&out)?;
    run(signed.write(&out))?.map_err(sign_error)?;
    let mut metadata = Metadata::default();
    for entry in fs_err::read_dir(&out)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        metadata.insert(name, fs_err::read_to_string(entry.path())?);
    }
    for (version, text) in roots {
        metadata.insert(format!("{version}.root.json"), text.clone());
    }
    Ok(metadata)
}
