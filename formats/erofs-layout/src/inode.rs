//! One inode as it lies on the disk: what it is, and where it says that its data is.

use super::{BLOCK, LayoutError};

/// Inodes lie at multiples of so many bytes; their number counts them.
pub(super) const SLOT: u64 = 32;
/// The only thing that an index of compressed data may say of itself: that most of it takes two bytes a block
/// (`Z_EROFS_ADVISE_COMPACTED_2B`).
const SHORT: u16 = 1;
/// Blocks that one pack of the index speaks of, and its length in bytes: of four bytes a block, and of two.
const LONG_PACK: (u64, u64) = (2, 8);
const SHORT_PACK: (u64, u64) = (16, 32);

/// Blocks that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) count: u64,
}

/// How an inode has its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// Nothing: devices, pipes and sockets.
    None,
    /// As it is; so many bytes of its end stand behind the inode.
    Plain { run: Run, tail: u64 },
    /// Compressed. Where, from the inode's begin, the addresses stand that move with it.
    Packed { run: Run, addresses: Vec<usize> },
}

/// An inode.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// All of it: itself, its extended attributes, its data's end or index.
    pub(super) bytes: Vec<u8>,
    /// Length of what may not reach over the end of a block.
    pub(super) whole: u64,
    pub(super) is_folder: bool,
    pub(super) size: u64,
    pub(super) data: Data,
}

/// Where an inode has the address of plain data.
const ADDRESS: usize = 16;

impl Inode {
    /// Reads the inode at a byte of the image; `read` gives bytes of the image.
    pub(super) fn read(
        at: u64,
        read: &mut dyn FnMut(u64, u64) -> Result<Vec<u8>, LayoutError>,
    ) -> Result<Self, LayoutError> {
        let head = read(at, SLOT)?;
        let format = half(&head, 0);
        let (own, size) = if format & 1 == 1 {
            (2 * SLOT, double(&head, 8))
        } else {
            (SLOT, word(&head, 8).into())
        };
        let attributes = match u64::from(half(&head, 2)) {
            0 => 0,
            count => 12 + (count - 1) * 4,
        };
        if attributes > 0 && read(at + own + 4, 1)?[0] != 0 {
            return Err(unknown("extended attributes that inodes share"));
        }
        let kind = half(&head, 4) >> 12;
        let behind = own + attributes;
        let run = |first: u32, count: u64| Run {
            first: if count == 0 { 0 } else { first.into() },
            count,
        };
        let address = word(&head, ADDRESS);
        let (data, length) = match (kind, (format >> 1) & 7) {
            (4 | 8 | 10, 0) => {
                let run = run(address, size.div_ceil(BLOCK));
                (Data::Plain { run, tail: 0 }, behind)
            }
            (4 | 8 | 10, 2) => {
                let (run, tail) = (run(address, size / BLOCK), size % BLOCK);
                (Data::Plain { run, tail }, behind + tail)
            }
            (8, 3) => packed(at, behind, size, address, read)?,
            (1 | 2 | 6 | 12, 0 | 2) => (Data::None, behind),
            (kind, layout) => return Err(unknown(&format!("layout {layout} of kind {kind}"))),
        };
        let whole = match data {
            Data::Packed { .. } => behind,
            _ => length,
        };
        if whole > BLOCK {
            return Err(unknown("an inode longer than a block"));
        }
        Ok(Self {
            bytes: read(at, length)?,
            whole,
            is_folder: kind == 4,
            size,
            data,
        })
    }

    /// Returns where the data lies.
    pub(super) const fn run(&self) -> Run {
        match self.data {
            Data::None => Run { first: 0, count: 0 },
            Data::Plain { run, .. } | Data::Packed { run, .. } => run,
        }
    }

    /// Says that the data begins at another block.
    pub(super) fn move_to(&mut self, first: u64) -> Result<(), LayoutError> {
        let first = block_number(first)?;
        match &self.data {
            Data::None => {}
            Data::Plain { .. } => {
                self.bytes[ADDRESS..ADDRESS + 4].copy_from_slice(&first.to_le_bytes());
            }
            Data::Packed { run, addresses } => {
                let was = u32::try_from(run.first).expect("read from 32 bits");
                for &at in addresses {
                    let address = word(&self.bytes, at).wrapping_sub(was).wrapping_add(first);
                    self.bytes[at..at + 4].copy_from_slice(&address.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

/// Finds the addresses in the index of compressed data. Each pack ends with the block before its first one.
fn packed(
    at: u64,
    behind: u64,
    size: u64,
    count: u32,
    read: &mut dyn FnMut(u64, u64) -> Result<Vec<u8>, LayoutError>,
) -> Result<(Data, u64), LayoutError> {
    let header = behind.next_multiple_of(8);
    let advice = half(&read(at + header, 8)?, 4);
    if advice & !SHORT != 0 {
        return Err(unknown(&format!("compressed data of the kind {advice:#x}")));
    }
    let blocks = size.div_ceil(BLOCK);
    let mut end = header + 8;
    // Short packs begin at multiples of their length.
    let before = ((SHORT_PACK.1 - (at + end) % SHORT_PACK.1) / 4 % 8).min(blocks);
    let short = if advice & SHORT == 0 {
        0
    } else {
        (blocks - before) / SHORT_PACK.0 * SHORT_PACK.0
    };
    let mut addresses = Vec::new();
    for (covered, pack) in [
        (before, LONG_PACK),
        (short, SHORT_PACK),
        (blocks - before - short, LONG_PACK),
    ] {
        for _ in 0..covered.div_ceil(pack.0) {
            end += pack.1;
            addresses.push(usize::try_from(end - 4).expect("an index is in memory"));
        }
    }
    let (Some(&first), Some(&last)) = (addresses.first(), addresses.last()) else {
        return Err(damaged("compressed data of no length"));
    };
    let mut address = |offset: usize| Ok::<_, LayoutError>(word(&read(at + offset as u64, 4)?, 0));
    let (first, last) = (
        address(first)?.wrapping_add(1),
        address(last)?.wrapping_add(1),
    );
    let run = Run {
        first: first.into(),
        count: count.into(),
    };
    if last < first || u64::from(last - first) > run.count {
        return Err(unknown("compressed data that does not lie side by side"));
    }
    Ok((Data::Packed { run, addresses }, end))
}

pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn double(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Returns a number of blocks as the disk has it: up to 16 TiB.
pub(super) fn block_number(block: u64) -> Result<u32, LayoutError> {
    u32::try_from(block).map_err(|error| unknown(&format!("so many blocks: {error}")))
}

pub(super) fn unknown(what: &str) -> LayoutError {
    LayoutError::Unknown { what: what.into() }
}

pub(super) fn damaged(what: &str) -> LayoutError {
    LayoutError::Damaged { what: what.into() }
}
