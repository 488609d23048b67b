//! Which blocks of an ext4 file system are in use, read from its own bitmaps.
//!
//! Only what the block map of an image needs; making the file system is `mke2fs`'s work. Layout:
//! Linux, Documentation/filesystems/ext4.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: u16 = 0xef53;
/// `INCOMPAT_64BIT`: group descriptors are longer.
const INCOMPAT_64BIT: u32 = 0x80;
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
    let mut superblock = [0; 1024];
    disk.seek(SeekFrom::Start(offset + 1024))?;
    disk.read_exact(&mut superblock)?;
    let half = |at: usize| u16::from_le_bytes([superblock[at], superblock[at + 1]]);
    let word =
        |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().expect("four bytes"));
    if half(0x38) != MAGIC {
        return Err(io::Error::other("no ext4 superblock"));
    }
    let incompat = word(0x60);
    let block_size = 1024_u64 << word(0x18).min(6);
    let high = if incompat & INCOMPAT_64BIT != 0 {
        u64::from(word(0x150)) << 32
    } else {
        0
    };
    let blocks = u64::from(word(0x4)) | high;
    let (first_block, per_group) = (u64::from(word(0x14)), u64::from(word(0x20)));
    if per_group == 0 || per_group > block_size * 8 || blocks <= first_block {
        return Err(io::Error::other("the ext4 superblock is damaged"));
    }
    let descriptor_size = if incompat & INCOMPAT_64BIT != 0 {
        u64::from(half(0xfe)).max(32)
    } else {
        32
    };
    let groups = (blocks - first_block).div_ceil(per_group);
    let mut used = UsedBlocks {
        block_size,
        ranges: Vec::new(),
    };
    for group in 0..groups {
        let mut descriptor = [0; 64];
        let length = usize::try_from(descriptor_size.min(64)).expect("at most 64");
        disk.seek(SeekFrom::Start(
            offset + (first_block + 1) * block_size + group * descriptor_size,
        ))?;
        disk.read_exact(&mut descriptor[..length])?;
        let low = u64::from(u32::from_le_bytes(
            descriptor[..4].try_into().expect("four bytes"),
        ));
        let high = u64::from(u32::from_le_bytes(
            descriptor[32..36].try_into().expect("four bytes"),
        ));
        let flags = u16::from_le_bytes([descriptor[18], descriptor[19]]);
        let start = first_block + group * per_group;
        let count = per_group.min(blocks - start);
        if flags & BLOCK_UNINIT != 0 {
            // Its metadata may lie anywhere in the group: take the whole group.
            used.add(start, count);
            continue;
        }
        let mut bitmap = vec![0; usize::try_from(block_size).expect("at most 64 KiB")];
        disk.seek(SeekFrom::Start(offset + (low | high << 32) * block_size))?;
        disk.read_exact(&mut bitmap)?;
        for bit in 0..count {
            let byte = bitmap[usize::try_from(bit / 8).expect("within a block")];
            if byte >> (bit % 8) & 1 == 1 {
                used.add(start + bit, 1);
            }
        }
    }
    // The boot block before the first block.
    if first_block > 0 {
        used.ranges.insert(0, (0, first_block));
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
