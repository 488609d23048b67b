//! The first 64 bytes: where everything lies.

use crate::{BundleError, MOST_MANIFEST, MOST_TABLES, MOST_TRUST};

/// Length in bytes.
pub const HEAD_LENGTH: usize = 64;
const MAGIC: &[u8; 8] = b"BAKELUPD";
/// Number of the form. Another number is another form.
const FORMAT: u32 = 1;

/// Lengths of the parts, which follow each other without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Length of the trust section.
    pub trust: u32,
    /// Length of the manifest.
    pub manifest: u32,
    /// Length of the tables.
    pub tables: u32,
    /// Length of all segments together.
    pub segments: u64,
}

impl Head {
    /// Writes the head.
    pub fn to_bytes(self) -> [u8; HEAD_LENGTH] {
        let mut bytes = [0; HEAD_LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        for (at, value) in [
            (8, FORMAT),
            (12, self.trust),
            (16, self.manifest),
            (20, self.tables),
        ] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.segments.to_le_bytes());
        bytes
    }

    /// Reads a head. Lengths beyond the limits are refused before anything of that length is read.
    pub fn from_bytes(bytes: &[u8; HEAD_LENGTH]) -> Result<Self, BundleError> {
        if &bytes[..8] != MAGIC {
            return Err(BundleError::NoBundle);
        }
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        if word(8) != FORMAT {
            return Err(BundleError::Format {
                found: word(8),
                known: FORMAT,
            });
        }
        let head = Self {
            trust: word(12),
            manifest: word(16),
            tables: word(20),
            segments: u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes")),
        };
        for (part, length, most) in [
            ("trust section", head.trust, MOST_TRUST),
            ("manifest", head.manifest, MOST_MANIFEST),
            ("tables", head.tables, MOST_TABLES),
        ] {
            if length > most {
                return Err(BundleError::TooLong { part, length, most });
            }
        }
        if head.to_bytes() != *bytes {
            return Err(BundleError::Malformed {
                what: "its head has bytes where zeros belong",
            });
        }
        Ok(head)
    }

    /// Returns the length of everything before the segments.
    pub const fn metadata(self) -> u64 {
        HEAD_LENGTH as u64 + self.trust as u64 + self.manifest as u64 + self.tables as u64
    }

    /// Returns the length of the whole bundle.
    pub fn total(self) -> u64 {
        self.metadata().saturating_add(self.segments)
    }
}
