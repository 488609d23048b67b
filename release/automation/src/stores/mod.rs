//! Places that hold files by name: a folder, or an S3-compatible store.

mod folder;
mod s3;

use std::fmt::Debug;
use std::io::Write;
use std::path::Path;

use content_digest::{HashingWriter, Sha256Digest};
use release::template::TargetToml;

use crate::error::ActionError;
use crate::job::Secrets;

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
pub trait Store: Debug {
    /// Copies a file out. Returns whether it is there.
    fn read_to(&self, name: &str, to: &mut dyn Write) -> Result<bool, ActionError>;

    /// Puts a file in.
    fn put(&self, name: &str, content: Content<'_>, mode: Put) -> Result<(), ActionError>;

    /// Takes a file away, if it is there.
    fn delete(&self, name: &str) -> Result<(), ActionError>;

    /// Returns where people find a file.
    fn address(&self, name: &str) -> String;

    /// Returns the public address of a file, if the place has one.
    fn public(&self, name: &str) -> Option<String>;

    /// Downloads a file and returns its digest and size; none if it is not there.
    fn digest(&self, name: &str) -> Result<Option<(Sha256Digest, u64)>, ActionError> {
        let mut writer = HashingWriter::new(std::io::sink());
        if !self.read_to(name, &mut writer)? {
            return Ok(None);
        }
        let (_, sha256, size) = writer.finish();
        Ok(Some((sha256, size)))
    }

    /// Reads a small file; none if it is not there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ActionError> {
        let mut bytes = Vec::new();
        Ok(self.read_to(name, &mut bytes)?.then_some(bytes))
    }
}

/// Opens a target that takes files.
pub fn open(
    target: &TargetToml,
    project: &Path,
    secrets: &Secrets<'_>,
) -> Result<Box<dyn Store>, ActionError> {
    match target {
        TargetToml::Folder { folder, address } => Ok(Box::new(folder::Folder {
            folder: project.join(folder),
            address: address.clone(),
        })),
        TargetToml::S3 {
            bucket,
            endpoint,
            region,
            prefix,
            address,
        } => Ok(Box::new(s3::S3::open(
            bucket,
            endpoint.as_deref(),
            region.as_deref(),
            prefix,
            address.clone(),
            secrets,
        )?)),
        TargetToml::Github { repository, .. } => Err(ActionError::Refused(format!(
            "{repository} takes releases only; this needs a folder or an S3 store"
        ))),
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
