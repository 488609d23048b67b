//! Which slot the firmware starts: one sector of `autoboot.txt`, written over in place. The table of clusters and the
//! folder's entry never change, so a power cut finds the old sector or the new one.

use std::io;

use agent_region::Slot;
use agent_region::disk::{Disk, Reader};
use boot_partition::autoboot::{self, Autoboot};
use boot_partition::mbr::{Partition, SECTOR};
use boot_partition::{fat, logical};

/// [`SECTOR`], as lengths in memory are counted.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Partition that holds `autoboot.txt`.
const SELECTOR: u32 = 1;

/// The slot cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The disk failed.
    #[error("cannot read or write the first partition")]
    Disk(#[from] io::Error),
    /// The disk is laid out otherwise.
    #[error("this disk has no two slots to choose from: {what}")]
    Layout {
        /// What is missing.
        what: &'static str,
    },
    /// The disk does not keep what it is told.
    #[error("the disk took the sector at {sector} and gives back another: it is worn out or lies")]
    NotKept {
        /// Number of the sector.
        sector: u64,
    },
}

/// Returns the partitions of a disk by their numbers.
pub fn partitions(disk: &mut impl Disk) -> io::Result<Vec<(u32, Partition)>> {
    logical::numbered(&mut Reader::new(disk)?)
}

/// Where the sector lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selector {
    offset: u64,
}

impl Selector {
    /// Finds the sector on a disk with two slots.
    pub fn find(disk: &mut impl Disk) -> Result<Self, BootError> {
        let layout = |what| BootError::Layout { what };
        let partitions = partitions(disk)?;
        let first = partitions.iter().find(|(number, _)| *number == SELECTOR);
        let (_, first) = first.ok_or_else(|| layout("it has no first partition"))?;
        let (offset, length) = (
            u64::from(first.first) * SECTOR,
            u64::from(first.sectors) * SECTOR,
        );
        let found = fat::find(&mut Reader::new(disk)?, offset, length, autoboot::FILE)?;
        let extents = found.ok_or_else(|| layout("its first partition has no autoboot.txt"))?;
        match extents[..] {
            [(offset, length)] if length == autoboot::LENGTH as u64 && offset % SECTOR == 0 => {
                Ok(Self { offset })
            }
            _ => Err(layout(
                "its autoboot.txt was written by somebody else, and is not one sector",
            )),
        }
    }

    /// Returns what the file says.
    pub fn read(self, disk: &mut impl Disk) -> io::Result<Autoboot> {
        Ok(Autoboot::read(&self.sector(disk)?[..autoboot::LENGTH]))
    }

    fn sector(self, disk: &mut impl Disk) -> io::Result<[u8; SECTOR_BYTES]> {
        let mut sector = [0; SECTOR_BYTES];
        disk.read_at(self.offset, &mut sector)?;
        Ok(sector)
    }

    /// Has the firmware start `slot` from now on, and the other one when it is asked to once. Returns when the disk has it and
    /// gave it back. Nothing is written when it is so already.
    pub fn point_to(self, disk: &mut impl Disk, slot: Slot) -> Result<(), BootError> {
        let file = Autoboot::new(slot.boot_partition(), slot.other().boot_partition()).to_file();
        let mut sector = [0; SECTOR_BYTES];
        sector[..file.len()].copy_from_slice(&file);
        if self.sector(disk)? == sector {
            return Ok(());
        }
        disk.write_at(self.offset, &sector)?;
        disk.flush()?;
        disk.forget(self.offset, SECTOR);
        if self.sector(disk)? != sector {
            return Err(BootError::NotKept {
                sector: self.offset / SECTOR,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]
mod tests {
    use boot_partition::mbr::{FAT32_LBA, Mbr};

    use super::*;

    /// A disk in memory that may lose what it is told.
    struct Memory {
        bytes: Vec<u8>,
        keeps: bool,
    }

    impl Disk for Memory {
        fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let at = offset as usize;
            bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
            Ok(())
        }
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            if self.keeps {
                let at = offset as usize;
                self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Ok(())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn length(&mut self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
    }

    fn disk(file: &[u8]) -> Memory {
        let size = 40 << 20;
        let mut disk = io::Cursor::new(vec![0; size + (1 << 20)]);
        let partition = Partition {
            kind: FAT32_LBA,
            first: 2048,
            sectors: size as u32 / 512,
        };
        let table = Mbr {
            signature: 1,
            partitions: vec![partition],
        };
        let files = [(autoboot::FILE.to_owned(), file.to_vec())].into();
        let volume = fat::Volume {
            label: "bootfs",
            id: 1,
            timestamp: 0,
        };
        fat::write(&mut disk, 1 << 20, size as u64, volume, &files).unwrap();
        let mut bytes = disk.into_inner();
        bytes[..512].copy_from_slice(&table.to_sector());
        Memory { bytes, keeps: true }
    }

    #[test]
    fn one_sector_changes_and_the_file_system_sees_the_other_slot() {
        let mut disk = disk(&Autoboot::new(2, 3).to_file());
        let selector = Selector::find(&mut disk).unwrap();
        let before = disk.bytes.clone();
        selector.point_to(&mut disk, Slot::A).unwrap();
        assert_eq!(disk.bytes, before);
        selector.point_to(&mut disk, Slot::B).unwrap();
        let changed = |at: &usize| disk.bytes[at * 512..][..512] != before[at * 512..][..512];
        assert_eq!((0..before.len() / 512).filter(changed).count(), 1);
        assert_eq!(selector.read(&mut disk).unwrap(), Autoboot::new(3, 2));
        let mut reader = Reader::new(&mut disk).unwrap();
        let files = fat::read(&mut reader, 1 << 20, 40 << 20).unwrap();
        assert_eq!(files[autoboot::FILE], Autoboot::new(3, 2).to_file());
    }

    #[test]
    fn a_disk_that_forgets_and_a_file_of_somebody_else_are_told() {
        let mut worn = disk(&Autoboot::new(2, 3).to_file());
        worn.keeps = false;
        let selector = Selector::find(&mut worn).unwrap();
        let error = selector.point_to(&mut worn, Slot::B).unwrap_err();
        assert!(matches!(error, BootError::NotKept { .. }), "{error}");
        let error = Selector::find(&mut disk(b"boot_partition=2\n")).unwrap_err();
        assert!(error.to_string().contains("somebody else"), "{error}");
    }
}
