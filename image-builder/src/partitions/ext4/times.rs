//! Access times. `mke2fs -d` copies those of the tree, and so who read which file of it, and when:
//! the same tree would make another image after somebody looked at it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{SMALLEST_INODE, Superblock, crc32c, half};

/// `BG_INODE_UNINIT`: no inode of the group is in use.
const INODE_UNINIT: u16 = 0x1;
const MODE: usize = 0x0;
const ACCESSED: usize = 0x8;
const MODIFIED: usize = 0x10;
const GENERATION: usize = 0x64;
const CHECKSUM_LOW: usize = 0x7c;
/// How many bytes beyond the smallest inode are in use.
const EXTRA_SIZE: usize = 0x80;
const CHECKSUM_HIGH: usize = 0x82;
const MODIFIED_EXTRA: usize = 0x88;
const ACCESSED_EXTRA: usize = 0x8c;

/// Sets the access time of every inode of the file system at `offset` to its time of last change.
pub fn settle_access_times<D: Read + Write + Seek>(disk: &mut D, offset: u64) -> io::Result<()> {
    let superblock = Superblock::read(disk, offset)?;
    for number in 0..superblock.groups() {
        let group = superblock.group(disk, number)?;
        if group.flags & INODE_UNINIT != 0 {
            continue;
        }
        let used = superblock
            .inodes_per_group
            .saturating_sub(group.unused_inodes);
        let mut table =
            vec![0; usize::try_from(used).expect("a group is small") * superblock.inode_size];
        let position = superblock.position(group.inode_table)?;
        disk.seek(SeekFrom::Start(position))?;
        disk.read_exact(&mut table)?;
        let first = number * superblock.inodes_per_group + 1;
        for (inode, bytes) in (first..).zip(table.chunks_exact_mut(superblock.inode_size)) {
            if half(bytes, MODE) != 0 {
                settle(&superblock, inode, bytes);
            }
        }
        disk.seek(SeekFrom::Start(position))?;
        disk.write_all(&table)?;
    }
    Ok(())
}

fn settle(superblock: &Superblock, number: u64, inode: &mut [u8]) {
    let end = if inode.len() > SMALLEST_INODE {
        SMALLEST_INODE + usize::from(half(inode, EXTRA_SIZE))
    } else {
        SMALLEST_INODE
    };
    inode.copy_within(MODIFIED..MODIFIED + 4, ACCESSED);
    if end >= ACCESSED_EXTRA + 4 {
        inode.copy_within(MODIFIED_EXTRA..MODIFIED_EXTRA + 4, ACCESSED_EXTRA);
    }
    let Some(seed) = superblock.checksum_seed else {
        return;
    };
    // The checksum is taken with its own fields as zero.
    let has_high = end >= CHECKSUM_HIGH + 2;
    inode[CHECKSUM_LOW..CHECKSUM_LOW + 2].fill(0);
    if has_high {
        inode[CHECKSUM_HIGH..CHECKSUM_HIGH + 2].fill(0);
    }
    let number = u32::try_from(number).expect("ext4 numbers inodes with 32 bits");
    let seed = crc32c(seed, &number.to_le_bytes());
    let seed = crc32c(seed, &inode[GENERATION..GENERATION + 4]);
    let checksum = crc32c(seed, inode).to_le_bytes();
    inode[CHECKSUM_LOW..CHECKSUM_LOW + 2].copy_from_slice(&checksum[..2]);
    if has_high {
        inode[CHECKSUM_HIGH..CHECKSUM_HIGH + 2].copy_from_slice(&checksum[2..]);
    }
}
