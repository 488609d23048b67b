//! Reads a sparse file without asking the kernel for the zeros of its holes: it would fill its cache
//! with them, page by page.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use nix::unistd::{Whence, lseek};

/// A file, read from its beginning.
#[derive(Debug)]
pub struct SparseReader {
    file: File,
    length: u64,
    position: u64,
    /// The next bytes that are no hole: from, to. None where the file system does not tell holes.
    data: Option<(u64, u64)>,
}

impl SparseReader {
    /// Reads `file`.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut reader = Self {
            file,
            length,
            position: 0,
            data: None,
        };
        reader.find_data();
        Ok(reader)
    }

    fn find_data(&mut self) {
        let seek = |from: u64, whence| {
            let from = i64::try_from(from).expect("files are smaller");
            lseek(&self.file, from, whence).map(i64::unsigned_abs)
        };
        self.data = match seek(self.position, Whence::SeekData) {
            Ok(from) => seek(from, Whence::SeekHole).ok().map(|to| (from, to)),
            // Nothing but a hole up to the end.
            Err(nix::Error::ENXIO) => Some((self.length, self.length)),
            Err(_) => None,
        };
    }
}

impl Read for SparseReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.data.is_some_and(|(_, to)| self.position >= to) && self.position < self.length {
            self.find_data();
        }
        let (from, to) = self.data.unwrap_or((self.position, self.length));
        let is_hole = self.position < from;
        let end = if is_hole { from } else { to }.min(self.length);
        let left = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let room = left.min(buffer.len());
        let count = if is_hole {
            buffer[..room].fill(0);
            room
        } else {
            self.file.read_at(&mut buffer[..room], self.position)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn reads_what_a_plain_read_gives(
            parts in proptest::collection::vec((0_u64..300_000, 1_usize..20_000), 0..8),
            tail in 0_u64..200_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sparse");
            let file = fs_err::File::create(&path).unwrap();
            let mut end = 0;
            for (hole, length) in parts {
                file.file().write_all_at(&vec![7; length], end + hole).unwrap();
                end += hole + length as u64;
            }
            file.set_len(end + tail).unwrap();
            let mut read = Vec::new();
            SparseReader::new(File::open(&path).unwrap()).unwrap().read_to_end(&mut read).unwrap();
            proptest::prop_assert_eq!(read, fs_err::read(&path).unwrap());
        }
    }
}
