//! Partition table and file systems of an image.

pub mod mbr;
pub mod fat;
pub mod ext4;
pub mod layout;
