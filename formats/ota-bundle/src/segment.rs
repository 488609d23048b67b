//! Segments: pieces of an image that are fetched, checked and written one by one.

use std::io::Read as _;

use content_digest::Sha256Digest;

use crate::BundleError;

/// Length of a segment in bytes; the last one of an image may be shorter. A device holds a few of them in memory.
pub const SEGMENT: u32 = 1 << 20;
/// Length of an entry of the tables in bytes.
const ENTRY: usize = 40;

/// How a segment is stored in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is all zeros, and takes no bytes.
    Zeros,
    /// As it is.
    Plain,
    /// One frame of Zstandard (RFC 8878).
    Zstd,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the image.
    pub place: u64,
    /// Its length.
    pub length: u32,
    /// Digest of its bytes.
    pub id: Sha256Digest,
    /// Where its stored bytes begin in the bundle.
    pub offset: u64,
    /// How many those are.
    pub stored: u32,
}

/// The stored bytes are not the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the segment at {place} of the image is damaged: {what}")]
pub struct SegmentError {
    /// Where it begins in the image.
    pub place: u64,
    /// What is wrong.
    pub what: &'static str,
}

impl Segment {
    /// Returns how it is stored.
    pub const fn kind(&self) -> Stored {
        if self.stored == 0 {
            Stored::Zeros
        } else if self.stored == self.length {
            Stored::Plain
        } else {
            Stored::Zstd
        }
    }

    /// Whether `bytes` are the segment.
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length as usize && Sha256Digest::of(bytes) == self.id
    }

    /// Unpacks the stored bytes into `plain`. No more is unpacked than the segment has: a bomb stays small.
    pub fn unpack(&self, stored: &[u8], plain: &mut Vec<u8>) -> Result<(), SegmentError> {
        let fail = |what| SegmentError {
            place: self.place,
            what,
        };
        plain.clear();
        if stored.len() != self.stored as usize {
            return Err(fail("it has another length"));
        }
        match self.kind() {
            Stored::Zeros => plain.resize(self.length as usize, 0),
            Stored::Plain => plain.extend_from_slice(stored),
            Stored::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(stored)
                    .map_err(|_no_memory| fail("there is no memory for it"))?
                    .single_frame();
                // A window above the segment's own length serves nobody.
                decoder
                    .window_log_max(SEGMENT.ilog2())
                    .map_err(|_unknown| fail("it cannot be unpacked"))?;
                let most = u64::from(self.length) + 1;
                decoder
                    .by_ref()
                    .take(most)
                    .read_to_end(plain)
                    .map_err(|_damaged| fail("it cannot be unpacked"))?;
            }
        }
        if self.is(plain) {
            Ok(())
        } else {
            Err(fail("it is not what the manifest promises"))
        }
    }
}

/// Writes the tables of all images, in order.
pub(crate) fn to_tables<'s>(segments: impl IntoIterator<Item = &'s Segment>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in segments {
        bytes.extend(segment.id.as_bytes());
        bytes.extend(segment.length.to_le_bytes());
        bytes.extend(segment.stored.to_le_bytes());
    }
    bytes
}

/// Reads the tables of images with these lengths. The segments of the first one begin at `offset` of the bundle; each follows the
/// one before, so nothing can point elsewhere.
pub(crate) fn from_tables(
    bytes: &[u8],
    lengths: impl IntoIterator<Item = u64>,
    mut offset: u64,
) -> Result<Vec<Vec<Segment>>, BundleError> {
    let malformed = |what| BundleError::Malformed { what };
    let mut entries = bytes.chunks(ENTRY);
    let mut images = Vec::new();
    for length in lengths {
        let mut segments = Vec::new();
        let mut place = 0;
        while place < length {
            let entry = entries.next().filter(|entry| entry.len() == ENTRY);
            let entry = entry.ok_or_else(|| malformed("its tables are too short"))?;
            let id: [u8; 32] = entry[..32].try_into().expect("thirty-two bytes");
            let word =
                |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
            let segment = Segment {
                place,
                length: word(32),
                id: Sha256Digest::from(id),
                offset,
                stored: word(36),
            };
            if u64::from(segment.length) != (length - place).min(u64::from(SEGMENT))
                || segment.stored > segment.length
            {
                return Err(malformed("a segment has a length that none can have"));
            }
            place += u64::from(segment.length);
            offset = offset
                .checked_add(u64::from(segment.stored))
                .ok_or_else(|| malformed("it is too long"))?;
            segments.push(segment);
        }
        images.push(segments);
    }
    if entries.next().is_some() {
        return Err(malformed("its tables are too long"));
    }
    Ok(images)
}
