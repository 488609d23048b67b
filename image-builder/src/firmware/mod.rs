//! A model of what Raspberry Pi boards do before Linux: partition table, FAT, `config.txt`,
//! `cmdline.txt`. A pure function over an image's bytes, run on every image that is built.
//!
//! Rules: Raspberry Pi documentation, "Boot flow" and "config.txt"; the type bytes that the ROM of
//! BCM2837 takes are those seen to work (FAT 0x06, 0x0b, 0x0c, 0x0e).

mod config;
mod check;

use std::io::{self, Read, Seek, SeekFrom};

use crate::partitions::fat;
use crate::partitions::mbr::{Mbr, MbrError, SECTOR};

pub use check::{Board, BootPlan, check, plan};
pub use config::Config;

/// The image cannot be read as the firmware would.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// Reading failed.
    #[error("cannot read the image")]
    Read(#[source] io::Error),
    /// No usable partition table.
    #[error("the partition table is of no use")]
    Table(#[source] MbrError),
    /// No partition that the ROM would try.
    #[error("no partition has a FAT type that boot ROMs take (0x06, 0x0b, 0x0c, 0x0e)")]
    NoBootPartition,
    /// The FAT file system is damaged.
    #[error("the boot partition cannot be read")]
    Fat(#[source] io::Error),
}

/// The partition table and boot files of an image.
#[derive(Debug)]
pub struct BootPartition {
    /// The partition table.
    pub table: Mbr,
    /// Number of the boot partition, counted from 1.
    pub number: usize,
    files: std::collections::BTreeMap<String, Vec<u8>>,
}

impl BootPartition {
    /// Reads the boot partition that a boot ROM would choose: the first with a FAT type.
    pub fn read<R: Read + Seek>(image: &mut R) -> Result<Self, FirmwareError> {
        let mut sector = [0; 512];
        image
            .seek(SeekFrom::Start(0))
            .and_then(|_| image.read_exact(&mut sector))
            .map_err(FirmwareError::Read)?;
        let table = Mbr::from_sector(&sector).map_err(FirmwareError::Table)?;
        let is_fat = |kind| matches!(kind, 0x06 | 0x0b | 0x0c | 0x0e);
        let index = table
            .partitions
            .iter()
            .position(|p| is_fat(p.kind))
            .ok_or(FirmwareError::NoBootPartition)?;
        let partition = table.partitions[index];
        let files = fat::read(
            image,
            u64::from(partition.first) * SECTOR,
            u64::from(partition.sectors) * SECTOR,
        )
        .map_err(FirmwareError::Fat)?;
        let files = files
            .into_iter()
            .map(|(name, bytes)| (name.to_ascii_lowercase(), bytes))
            .collect();
        Ok(Self {
            table,
            number: index + 1,
            files,
        })
    }

    /// Returns a file by its name, as FAT compares: upper and lower case are the same.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files
            .get(&name.to_ascii_lowercase())
            .map(Vec::as_slice)
    }

    /// Returns all names with sizes.
    pub fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.len() as u64))
    }
}
