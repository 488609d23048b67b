//! Partition table and file systems of an image.

pub use boot_partition::{fat, mbr};

pub mod ext4;
pub mod layout;
