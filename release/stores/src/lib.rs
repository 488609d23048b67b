//! Places that hold files by name: a folder, or an S3-compatible store. In: names, files. Out: the same, whole or not at all. Says
//! nothing to people and knows nothing of releases.

mod folder;
mod s3;

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use content_digest::{HashingWriter, Sha256Digest};

pub use folder::Folder;
pub use s3::{Credentials, S3, Settings};

/// A file could not be put somewhere, or had from there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of this machine.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An object store.
    #[error("cannot {what}")]
    Object {
        /// What was to be done.
        what: String,
        /// Why not.
        #[source]
        source: object_store::Error,
    },
}

impl StoreError {
    /// Whether it failed because something is there that must not be.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::AlreadyExists,
            Self::Object { source, .. } => matches!(
                source,
                object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. }
            ),
        }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("read {}", path.display()))
    }
}

/// What is put somewhere.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A file.
    File(&'a Path),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Whether something may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It must not be.
    New,
    /// It is replaced.
    Replace,
}

/// A place that holds files by name. A file is there whole or not at all.
pub trait Store: Debug + Send + Sync {
    /// Copies a file out. Returns whether it is there.
    fn read_to(&self, name: &str, to: &mut dyn Write) -> Result<bool, StoreError>;

    /// Puts a file in.
    fn put(&self, name: &str, content: Content<'_>, mode: Put) -> Result<(), StoreError>;

    /// Takes a file away, if it is there.
    fn delete(&self, name: &str) -> Result<(), StoreError>;

    /// Lists the names of the files in a folder, sorted; none if there is no such folder.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;

    /// Returns when a file was put there, in seconds since 1970; none if it is not there.
    fn modified(&self, name: &str) -> Result<Option<i64>, StoreError>;

    /// Returns where a file lies on this machine, if it does.
    fn local(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    /// Returns where people find a file.
    fn address(&self, name: &str) -> String;

    /// Returns the public address of a file, if the place has one.
    fn public(&self, name: &str) -> Option<String>;

    /// Downloads a file and returns its digest and size; none if it is not there.
    fn digest(&self, name: &str) -> Result<Option<(Sha256Digest, u64)>, StoreError> {
        let mut writer = HashingWriter::new(std::io::sink());
        if !self.read_to(name, &mut writer)? {
            return Ok(None);
        }
        let (_, sha256, size) = writer.finish();
        Ok(Some((sha256, size)))
    }

    /// Reads a small file; none if it is not there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        Ok(self.read_to(name, &mut bytes)?.then_some(bytes))
    }
}

/// Joins an address and a name.
fn join(address: &str, name: &str) -> String {
    format!("{}/{name}", address.trim_end_matches('/'))
}

/// Media types that browsers must be told (IANA), by file extension.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "md" | "txt" => "text/markdown; charset=utf-8",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}
