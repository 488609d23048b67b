//! A disk as updates see it: reading, writing, and a flush after which what was written before is kept.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

/// Bytes of a disk by offset. Between two flushes a disk may keep any part of what was written, in any order; a sector of 512
/// bytes is kept whole or not at all.
pub trait Disk {
    /// Reads exactly `bytes.len()` bytes.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all bytes.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written before will outlive a power cut.
    fn flush(&mut self) -> io::Result<()>;
    /// Returns its length in bytes.
    fn length(&mut self) -> io::Result<u64>;
    /// Drops what is remembered of a range, so that reading it asks the disk.
    fn forget(&mut self, _offset: u64, _length: u64) {}
}

impl Disk for File {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&mut self) -> io::Result<u64> {
        // The end of a block device is found by seeking; its metadata says 0.
        let mut file = &*self;
        file.seek(SeekFrom::End(0))
    }

    fn forget(&mut self, offset: u64, length: u64) {
        let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
            return;
        };
        // Advice: what reads back is compared in any case.
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _advised = nix::fcntl::posix_fadvise(&*self, offset, length, advice);
    }
}

/// Reads a disk as a stream with positions.
#[derive(Debug)]
pub struct Reader<'d, D> {
    disk: &'d mut D,
    position: u64,
    length: u64,
}

impl<'d, D: Disk> Reader<'d, D> {
    /// Begins at the beginning.
    pub fn new(disk: &'d mut D) -> io::Result<Self> {
        let length = disk.length()?;
        Ok(Self {
            disk,
            position: 0,
            length,
        })
    }
}

impl<D: Disk> Read for Reader<'_, D> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.disk.read_at(self.position, &mut bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<D: Disk> Seek for Reader<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let before = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek before the disk's beginning",
            )
        };
        self.position = position.ok_or_else(before)?;
        Ok(self.position)
    }
}
