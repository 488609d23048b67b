//! A model of what Raspberry Pi boards do before Linux: partition table, FAT, `config.txt`,
//! `cmdline.txt`. A pure function over an image's bytes, run on every image that is built.
//!
//! Rules: Raspberry Pi documentation, "Boot flow" and "config.txt"; the type bytes that the ROM of
//! BCM2837 takes are those seen to work (FAT 0x06, 0x0b, 0x0c, 0x0e).

mod config;
mod check;

use std::io::{self, Read, Seek, SeekFrom, Write};

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
        let window = Window {
            inner: image,
            start: u64::from(partition.first) * SECTOR,
            length: u64::from(partition.sectors) * SECTOR,
            position: 0,
        };
        let options = fatfs::FsOptions::new().update_accessed_date(false);
        let fat = fatfs::FileSystem::new(window, options).map_err(FirmwareError::Fat)?;
        let mut files = std::collections::BTreeMap::new();
        read_folder(&fat.root_dir(), "", &mut files, 0).map_err(FirmwareError::Fat)?;
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

/// Folders of a boot partition are two deep; deeper ones are damage or malice.
const DEEPEST: u32 = 6;

fn read_folder<T: fatfs::ReadWriteSeek>(
    folder: &fatfs::Dir<'_, T>,
    prefix: &str,
    files: &mut std::collections::BTreeMap<String, Vec<u8>>,
    depth: u32,
) -> io::Result<()> {
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name().to_ascii_lowercase();
        if name == "." || name == ".." {
            continue;
        }
        if entry.is_dir() {
            if depth < DEEPEST {
                read_folder(
                    &entry.to_dir(),
                    &format!("{prefix}{name}/"),
                    files,
                    depth + 1,
                )?;
            }
        } else {
            let mut bytes = Vec::new();
            entry.to_file().read_to_end(&mut bytes)?;
            files.insert(format!("{prefix}{name}"), bytes);
        }
    }
    Ok(())
}

/// One partition of a disk, read only.
struct Window<'r, R> {
    inner: &'r mut R,
    start: u64,
    length: u64,
    position: u64,
}

impl<R: Read + Seek> Read for Window<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let room = left.min(buffer.len());
        self.inner
            .seek(SeekFrom::Start(self.start + self.position))?;
        let count = self.inner.read(&mut buffer[..room])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R> Seek for Window<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::other("a seek before the partition"))?;
        Ok(self.position)
    }
}

impl<R> Write for Window<'_, R> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the firmware model never writes"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
