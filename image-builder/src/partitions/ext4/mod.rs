//! What an image needs of an ext4 file system that `mke2fs` made: the blocks in use, for the block
//! map, and access times that do not tell who read the tree before.
//!
//! Layout: Linux, Documentation/filesystems/ext4.

mod times;
mod used;

use std::io::{self, Read, Seek, SeekFrom};

pub use times::settle_access_times;
pub use used::{UsedBlocks, used_blocks};

const MAGIC: u16 = 0xef53;
/// `INCOMPAT_64BIT`: group descriptors are longer.
const INCOMPAT_64BIT: u32 = 0x80;
/// `INCOMPAT_CSUM_SEED`: the checksum seed is in the superblock.
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// `RO_COMPAT_METADATA_CSUM`: inodes have checksums.
const METADATA_CSUM: u32 = 0x400;
/// The smallest inode (ext2's).
const SMALLEST_INODE: usize = 128;

/// The facts of a superblock that are used here.
#[derive(Debug)]
struct Superblock {
    /// Where the file system begins on the disk, in bytes.
    offset: u64,
    block_size: u64,
    blocks: u64,
    first_block: u64,
    blocks_per_group: u64,
    inodes_per_group: u64,
    inode_size: usize,
    descriptor_size: u64,
    checksum_seed: Option<u32>,
}

impl Superblock {
    fn read<R: Read + Seek>(disk: &mut R, offset: u64) -> io::Result<Self> {
        let mut bytes = [0; 1024];
        disk.seek(SeekFrom::Start(offset + 1024))?;
        disk.read_exact(&mut bytes)?;
        if half(&bytes, 0x38) != MAGIC {
            return Err(io::Error::other("no ext4 superblock"));
        }
        let incompat = word(&bytes, 0x60);
        let is_64bit = incompat & INCOMPAT_64BIT != 0;
        let checksum_seed = if word(&bytes, 0x64) & METADATA_CSUM == 0 {
            None
        } else if incompat & INCOMPAT_CSUM_SEED != 0 {
            Some(word(&bytes, 0x270))
        } else {
            Some(crc32c(u32::MAX, &bytes[0x68..0x78]))
        };
        let superblock = Self {
            offset,
            block_size: 1024_u64 << word(&bytes, 0x18).min(6),
            blocks: wide(&bytes, 0x4, 0x150, is_64bit),
            first_block: u64::from(word(&bytes, 0x14)),
            blocks_per_group: u64::from(word(&bytes, 0x20)),
            inodes_per_group: u64::from(word(&bytes, 0x28)),
            inode_size: usize::from(half(&bytes, 0x58)),
            descriptor_size: if is_64bit {
                u64::from(half(&bytes, 0xfe)).max(32)
            } else {
                32
            },
            checksum_seed,
        };
        let bits = superblock.block_size * 8;
        if !(1..=bits).contains(&superblock.blocks_per_group)
            || !(1..=bits).contains(&superblock.inodes_per_group)
            || superblock.blocks <= superblock.first_block
            || !superblock.inode_size.is_power_of_two()
            || !(SMALLEST_INODE..=4096).contains(&superblock.inode_size)
        {
            return Err(io::Error::other("the ext4 superblock is damaged"));
        }
        Ok(superblock)
    }

    fn groups(&self) -> u64 {
        (self.blocks - self.first_block).div_ceil(self.blocks_per_group)
    }

    fn group<R: Read + Seek>(&self, disk: &mut R, number: u64) -> io::Result<Group> {
        let mut bytes = [0; 64];
        let length = usize::try_from(self.descriptor_size.min(64)).expect("at most 64");
        let table = (self.first_block + 1) * self.block_size;
        disk.seek(SeekFrom::Start(
            self.offset + table + number * self.descriptor_size,
        ))?;
        disk.read_exact(&mut bytes[..length])?;
        // Shorter descriptors leave zeros where the high halves would be.
        Ok(Group {
            flags: half(&bytes, 0x12),
            block_bitmap: wide(&bytes, 0x0, 0x20, true),
            inode_table: wide(&bytes, 0x8, 0x28, true),
            unused_inodes: u64::from(half(&bytes, 0x1c)) | u64::from(half(&bytes, 0x32)) << 16,
        })
    }

    /// Returns where a block lies on the disk, in bytes.
    fn position(&self, block: u64) -> io::Result<u64> {
        if block >= self.blocks {
            return Err(io::Error::other("an ext4 group descriptor is damaged"));
        }
        Ok(self.offset + block * self.block_size)
    }
}

/// A group descriptor.
#[derive(Debug)]
struct Group {
    flags: u16,
    block_bitmap: u64,
    inode_table: u64,
    unused_inodes: u64,
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn wide(bytes: &[u8], low: usize, high: usize, has_high: bool) -> u64 {
    let high = if has_high { word(bytes, high) } else { 0 };
    u64::from(word(bytes, low)) | u64::from(high) << 32
}

/// CRC-32C as the kernel chains it: without the inversions at both ends.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !::crc32c::crc32c_append(!seed, bytes)
}
