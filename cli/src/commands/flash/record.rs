//! What became of each disk: for people, and for the manufacturing log.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use content_digest::Sha256Digest;
use flash::package::Build;
use flash::write::{Failure, Written};
use flash::{Device, Package};
use image_builder::worker::chain;
use serde::Serialize;

/// Version of the form below.
const SCHEMA: u32 = 1;

/// One disk.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record<'r> {
    schema: u32,
    tool: &'static str,
    image: String,
    /// Nothing where the file was not read to its end.
    sha256: Option<Sha256Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<&'r Build>,
    device: &'r Device,
    began: String,
    seconds: f64,
    written: u64,
    read_back: u64,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// When it was, and how.
pub(super) struct Circumstances<'c> {
    pub(super) package: &'c Package,
    pub(super) began: jiff::Timestamp,
    pub(super) seconds: f64,
    pub(super) reads_back: bool,
}

impl<'r> Record<'r> {
    pub(super) fn new(
        device: &'r Device,
        outcome: &Result<Written, Failure>,
        of: &Circumstances<'r>,
    ) -> Self {
        let package = of.package;
        let done = outcome.as_ref().ok();
        let image = package.path.file_name().unwrap_or_default();
        Self {
            schema: SCHEMA,
            tool: concat!("bakelite ", env!("CARGO_PKG_VERSION")),
            image: image.to_string_lossy().into_owned(),
            sha256: package.digest.get().copied(),
            build: package.build.as_ref(),
            device,
            began: of.began.to_string(),
            seconds: of.seconds,
            written: done.map_or(0, |done| done.bytes),
            read_back: done.map_or(0, |done| done.read_back),
            result: match outcome {
                Ok(_) if of.reads_back => "verified",
                Ok(_) => "written",
                Err(_) => "failed",
            },
            reason: outcome.as_ref().err().map(|error| chain(error).join(": ")),
        }
    }

    /// Says it to people: what was done, or what went wrong and what helps.
    pub(super) fn sentence(&self, failure: Option<&Failure>) -> String {
        let mut text = format!("{}: ", self.device.node.display());
        match (self.result, &self.reason) {
            ("verified", _) => text.push_str("written and read back"),
            (_, Some(reason)) => {
                let advice = failure.map_or("", advice);
                write!(text, "{reason}. It does not boot. {advice}")
                    .expect("strings take everything");
            }
            _ => text.push_str("written, not read back"),
        }
        text
    }
}

/// What somebody can do about a disk that failed.
fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::Differs { .. } => {
            "Most often the card is counterfeit (smaller than it says) or worn out; try another reader as well."
        }
        Failure::Disk { .. } => "Plug it in again, or try another reader, port or card.",
        Failure::Size { .. } => "Take a larger card.",
        Failure::Image(_) => "Download or build the image again.",
    }
}

/// Adds a line for each to a file, in one write.
pub(super) fn append(path: &Path, records: &[Record<'_>]) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    let mut options = fs_err::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path)?;
    file.write_all(&lines)?;
    file.sync_all()
}
