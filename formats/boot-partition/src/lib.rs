//! What a boot ROM reads first: the partition table, a FAT file system, and `autoboot.txt`. In: bytes of a disk from
//! anywhere, or files. Out: files, where they lie, or bytes. Never opens a disk.

pub mod autoboot;
pub mod fat;
pub mod logical;
pub mod mbr;
