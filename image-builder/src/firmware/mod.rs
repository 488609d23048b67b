//! A model of what Raspberry Pi boards do before Linux: partition table, FAT, `config.txt`,
//! `cmdline.txt`. A pure function over an image's bytes, run on every image that is built.
//!
//! Rules: Raspberry Pi documentation, "Boot flow" and "config.txt"; the type bytes that the ROM of
//! BCM2837 takes are those seen to work (FAT 0x06, 0x0b, 0x0c, 0x0e).

mod config;
mod check;

use std::io::{self, Read, Seek, SeekFrom};

use boot_partition::autoboot::{self, Autoboot};
use boot_partition::logical;

use crate::partitions::fat;
use crate::partitions::mbr::{Mbr, MbrError, Partition, SECTOR};

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
    /// `autoboot.txt` names a partition that is none to boot from.
    #[error(
        "autoboot.txt chooses partition {number}, and there is no FAT partition with this number"
    )]
    NoChosenPartition {
        /// The number.
        number: u32,
    },
    /// The FAT file system is damaged.
    #[error("the boot partition cannot be read")]
    Fat(#[source] io::Error),
}

/// The partition table and boot files of an image.
#[derive(Debug)]
pub struct BootPartition {
    /// The partition table.
    pub table: Mbr,
    /// All partitions by the numbers that Linux gives them.
    pub partitions: Vec<(u32, Partition)>,
    /// Number of the partition that is booted from, counted from 1.
    pub number: u32,
    /// What `autoboot.txt` of the first partition says, if there is one.
    pub autoboot: Option<Autoboot>,
    files: Files,
    /// Files of the partition that the boot ROM looks at, where that is another one.
    first: Option<Files>,
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

fn is_fat(kind: u8) -> bool {
    matches!(kind, 0x06 | 0x0b | 0x0c | 0x0e)
}

/// Reads a FAT file system; names in lower case.
fn files<R: Read + Seek>(image: &mut R, partition: Partition) -> Result<Files, FirmwareError> {
    let (offset, length) = (
        u64::from(partition.first) * SECTOR,
        u64::from(partition.sectors) * SECTOR,
    );
    let files = fat::read(image, offset, length).map_err(FirmwareError::Fat)?;
    let lower = |(name, bytes): (String, Vec<u8>)| (name.to_ascii_lowercase(), bytes);
    Ok(files.into_iter().map(lower).collect())
}

impl BootPartition {
    /// Reads the boot partition that the firmware would choose: the first with a FAT type, or that which `autoboot.txt` there
    /// names.
    pub fn read<R: Read + Seek>(image: &mut R) -> Result<Self, FirmwareError> {
        Self::read_after(image, false)
    }

    /// The same for a start after `tryboot`, or another one.
    pub fn read_after<R: Read + Seek>(
        image: &mut R,
        is_tryboot: bool,
    ) -> Result<Self, FirmwareError> {
        let mut sector = [0; 512];
        image
            .seek(SeekFrom::Start(0))
            .and_then(|_| image.read_exact(&mut sector))
            .map_err(FirmwareError::Read)?;
        let table = Mbr::from_sector(&sector).map_err(FirmwareError::Table)?;
        let partitions = logical::numbered(image).map_err(FirmwareError::Read)?;
        let first = partitions
            .iter()
            .find(|(_, partition)| is_fat(partition.kind));
        let (number, partition) = *first.ok_or(FirmwareError::NoBootPartition)?;
        let read = files(image, partition)?;
        let autoboot = read.get(autoboot::FILE).map(|bytes| Autoboot::read(bytes));
        let chosen = autoboot.and_then(|autoboot| autoboot.chosen(is_tryboot));
        let (number, files, first) = match chosen.filter(|chosen| *chosen != number) {
            None => (number, read, None),
            Some(chosen) => {
                let found = partitions
                    .iter()
                    .find(|(number, p)| *number == chosen && is_fat(p.kind));
                let (_, partition) =
                    *found.ok_or(FirmwareError::NoChosenPartition { number: chosen })?;
                (chosen, files(image, partition)?, Some(read))
            }
        };
        Ok(Self {
            table,
            partitions,
            number,
            autoboot,
            files,
            first,
        })
    }

    /// Returns a file of the partition that the boot ROM looks at.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let first = self.first.as_ref().unwrap_or(&self.files);
        first.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
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
