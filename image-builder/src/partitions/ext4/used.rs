//! The blocks in use, read from the file system's own bitmaps.

use std::io::{self, Read, Seek, SeekFrom};

use super::Superblock;

/// `BG_BLOCK_UNINIT`: the bitmap was never written; only the group's own metadata is in use.
const BLOCK_UNINIT: u16 = 0x2;

/// Used blocks as ranges of (first, count), in file-system blocks.
#[derive(Debug, PartialEq, Eq)]
pub struct UsedBlocks {
    /// Bytes in a block.
    pub block_size: u64,
    /// Ranges, rising.
    pub ranges: Vec<(u64, u64)>,
}

/// Reads the bitmaps of the file system at `offset`.
pub fn used_blocks<R: Read + Seek>(disk: &mut R, offset: u64) -> io::Result<UsedBlocks> {
    let superblock = Superblock::read(disk, offset)?;
    let mut used = UsedBlocks {
        block_size: superblock.block_size,
        ranges: Vec::new(),
    };
    for number in 0..superblock.groups() {
        let group = superblock.group(disk, number)?;
        let start = superblock.first_block + number * superblock.blocks_per_group;
        let count = superblock.blocks_per_group.min(superblock.blocks - start);
        if group.flags & BLOCK_UNINIT != 0 {
            // Its metadata may lie anywhere in the group: take the whole group.
            used.add(start, count);
            continue;
        }
        let mut bitmap = vec![0; usize::try_from(superblock.block_size).expect("at most 64 KiB")];
        disk.seek(SeekFrom::Start(superblock.position(group.block_bitmap)?))?;
        disk.read_exact(&mut bitmap)?;
        for bit in 0..count {
            let byte = bitmap[usize::try_from(bit / 8).expect("within a block")];
            if byte >> (bit % 8) & 1 == 1 {
                used.add(start + bit, 1);
            }
        }
    }
    // The boot block before the first block.
    if superblock.first_block > 0 {
        used.ranges.insert(0, (0, superblock.first_block));
    }
    Ok(used)
}

impl UsedBlocks {
    fn add(&mut self, first: u64, count: u64) {
        match self.ranges.last_mut() {
            Some((start, length)) if *start + *length == first => *length += count,
            _ => self.ranges.push((first, count)),
        }
    }
}
