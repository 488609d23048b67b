//! One disk.

use std::collections::BTreeMap;

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

/// Version of the form.
pub const SCHEMA: u32 = 1;

/// What was written where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FlashRecord {
    /// Version of the form.
    pub schema: u32,
    /// Program and version.
    pub tool: String,
    /// Name of the image's file.
    pub image: String,
    /// Digest of that file; nothing where it was not read to its end.
    pub sha256: Option<Sha256Digest>,
    /// Digest of the block map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmap_sha256: Option<Sha256Digest>,
    /// The build that the image belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<RecordedBuild>,
    /// Whose signature of the build was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// The disk.
    pub device: RecordedDevice,
    /// What a board in USB boot mode told of itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub board: BTreeMap<String, String>,
    /// The name that the device was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// When it began (RFC 3339, UTC).
    pub began: String,
    /// How long it took.
    pub seconds: f64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that were read back.
    pub read_back: u64,
    /// How it ended.
    pub result: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A build, by its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedBuild {
    /// Name of its recipe.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its manifest: the candidate's name.
    pub candidate: Sha256Digest,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedDevice {
    /// Its node.
    pub node: String,
    /// Bytes.
    pub size: u64,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Where it was plugged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How it was connected.
    pub bus: String,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All that was written was read back and is right.
    Verified,
    /// It was not read back.
    Written,
    /// It does not boot.
    Failed,
}

impl FlashRecord {
    /// Returns the numbers that it may be sought by: the disk's serial number, and the board's own.
    pub fn serials(&self) -> impl Iterator<Item = &str> {
        let of_board = self
            .board
            .iter()
            .filter(|(name, _)| name.contains("SERIAL"));
        let of_board = of_board.map(|(_, value)| value.as_str());
        self.device.serial.as_deref().into_iter().chain(of_board)
    }
}
