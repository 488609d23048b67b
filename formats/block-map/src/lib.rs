//! The block map (bmap, as bmaptool writes and reads it): which blocks of an image hold anything, with a
//! digest for each range. In: text or ranges. Out: ranges or text. Never touches files.

mod ranges;
mod read;
mod write;

pub use ranges::{RangeHasher, whole_blocks};
pub use read::{BlockMap, MapError, Range};
pub use write::write;

/// Bytes in a block of the maps that are written here.
pub const BLOCK: u64 = 4096;
