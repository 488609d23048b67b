//! Head and table of a delta.

use content_digest::Sha256Digest;

use super::{MOST_DELTA_TABLE, MOST_RANGES, MOST_REFERENCE, Patch, Range};
use crate::manifest::Kind;

/// Length of the head in bytes.
pub const DELTA_HEAD: usize = 32;
const MAGIC: &[u8; 8] = b"BAKELDLT";
const FORMAT: u32 = 1;
const RANGE: usize = 13;

/// A delta cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The file is something else.
    #[error("this is no delta of an update")]
    NoDelta,
    /// Another form.
    #[error("the delta has format {found}, and this program reads format {FORMAT}")]
    Format {
        /// Number found.
        found: u32,
    },
    /// The table is longer than it may be.
    #[error("the delta's table claims {length} bytes, and at most {MOST_DELTA_TABLE} are read")]
    TooLong {
        /// Its length.
        length: u32,
    },
    /// The table is not the one that was vouched for.
    #[error("the delta's table is not the one that was vouched for")]
    Other,
    /// A part contradicts another.
    #[error("the delta is malformed: {what}")]
    Malformed {
        /// What.
        what: &'static str,
    },
}

/// The first bytes: where everything lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaHead {
    /// Length of the table.
    pub table: u32,
    /// Length of all patches together.
    pub stored: u64,
}

impl DeltaHead {
    /// Writes the head.
    pub fn to_bytes(self) -> [u8; DELTA_HEAD] {
        let mut bytes = [0; DELTA_HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.table.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stored.to_le_bytes());
        bytes
    }

    /// Reads a head. A table beyond the limit is refused before it is read.
    pub fn from_bytes(bytes: &[u8; DELTA_HEAD]) -> Result<Self, DeltaError> {
        if &bytes[..8] != MAGIC {
            return Err(DeltaError::NoDelta);
        }
        let mut reader = Reader(&bytes[8..]);
        let (found, table, stored) = (reader.word()?, reader.word()?, reader.long()?);
        if found != FORMAT {
            return Err(DeltaError::Format { found });
        }
        if table > MOST_DELTA_TABLE {
            return Err(DeltaError::TooLong { length: table });
        }
        let head = Self { table, stored };
        if head.to_bytes() != *bytes {
            return Err(malformed("its head has bytes where zeros belong"));
        }
        Ok(head)
    }

    /// Returns the length of head and table.
    pub const fn metadata(self) -> u64 {
        DELTA_HEAD as u64 + self.table as u64
    }
}

/// Writes a table.
pub(super) fn write(patches: &[Patch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for patch in patches {
        bytes.extend(patch.segment.to_le_bytes());
        bytes.extend(patch.stored.to_le_bytes());
        bytes.push(u8::try_from(patch.ranges.len()).expect("few"));
        for range in &patch.ranges {
            bytes.push(u8::from(range.kind == Kind::Boot));
            bytes.extend(range.offset.to_le_bytes());
            bytes.extend(range.length.to_le_bytes());
        }
    }
    bytes
}

/// Reads head and table.
pub(super) fn read(bytes: &[u8], vouched: Sha256Digest) -> Result<Vec<Patch>, DeltaError> {
    let too_short = || malformed("it ends too early");
    let head = DeltaHead::from_bytes(bytes.first_chunk().ok_or_else(too_short)?)?;
    let table = &bytes[DELTA_HEAD..];
    if table.len() != head.table as usize {
        return Err(too_short());
    }
    if Sha256Digest::of(table) != vouched {
        return Err(DeltaError::Other);
    }
    let mut reader = Reader(table);
    let mut patches: Vec<Patch> = Vec::new();
    let mut offset = head.metadata();
    while !reader.0.is_empty() {
        let (segment, stored) = (reader.word()?, reader.word()?);
        let count = usize::from(reader.take::<1>()?[0]);
        if count > MOST_RANGES || reader.0.len() < count * RANGE {
            return Err(malformed("a patch refers to more places than it may"));
        }
        let mut ranges = Vec::new();
        for _ in 0..count {
            let kind = match reader.take::<1>()?[0] {
                0 => Kind::Root,
                1 => Kind::Boot,
                _ => return Err(malformed("a patch refers to an image that is none")),
            };
            let (offset, length) = (reader.long()?, reader.word()?);
            ranges.push(Range {
                kind,
                offset,
                length,
            });
        }
        if patches.last().is_some_and(|last| last.segment >= segment) {
            return Err(malformed("its patches are in no order"));
        }
        let patch = Patch {
            segment,
            offset,
            stored,
            ranges,
        };
        if patch.reference() > u64::from(MOST_REFERENCE) {
            return Err(malformed("a patch refers to more than it may"));
        }
        let is_too_far = |range: &Range| range.offset.checked_add(range.length.into()).is_none();
        if patch.ranges.iter().any(is_too_far) {
            return Err(malformed("a patch refers beyond the end"));
        }
        offset = offset
            .checked_add(u64::from(stored))
            .ok_or_else(|| malformed("it is too long"))?;
        patches.push(patch);
    }
    if offset - head.metadata() != head.stored {
        return Err(malformed("its lengths contradict each other"));
    }
    Ok(patches)
}

const fn malformed(what: &'static str) -> DeltaError {
    DeltaError::Malformed { what }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        let (first, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<u32, DeltaError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn long(&mut self) -> Result<u64, DeltaError> {
        Ok(u64::from_le_bytes(self.take()?))
    }
}
