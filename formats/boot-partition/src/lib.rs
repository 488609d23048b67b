//! What a boot ROM reads first: the master boot record, and a FAT file system. In: bytes of a disk from
//! anywhere, or files. Out: files, where they lie, or bytes. Never opens a disk.

pub mod fat;
pub mod mbr;
