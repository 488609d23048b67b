//! Zstandard frames that are kept from one build to the next.
//!
//! An image is cut where its contents say so (content-defined chunking), each piece becomes a frame
//! of its own (RFC 8878 §3: frames follow each other in one file), and a frame is kept under the
//! BLAKE3 hash of the piece: three times faster than SHA-256, and seen by nobody. A build that changes one file compresses the pieces around it, not the
//! gigabyte. Frames depend on nothing but their piece: the file is the same with and without them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// zstd's own default: about a third of the size at memory speed.
const ZSTD_LEVEL: i32 = 3;
/// File systems place data by blocks of this size: pieces end between them.
const BLOCK: usize = 4096;
/// A piece has at least so many bytes, as many as the level looks back, so that little is lost …
const SMALLEST: usize = 2 << 20;
/// … and at most so many, also where nothing in it says to cut.
const LARGEST: usize = 16 << 20;
/// A block ends a piece if these bits of its CRC-32C are zero: after two MiB more on average.
const CUT: u32 = 0x1ff;
/// Bytes of the CRC-32C behind a kept frame.
const CHECK: usize = 4;

/// Bytes read at a time where a piece could end.
const STEP: usize = 256 << 10;

/// A piece of the image. Its memory is used again for a later one: a gigabyte of fresh pages would
/// cost more than hashing it.
#[derive(Debug, Default)]
pub struct Piece {
    buffer: Vec<u8>,
    length: usize,
}

impl std::ops::Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// Cuts what it reads into pieces.
#[derive(Debug)]
pub struct Pieces<R> {
    source: R,
    /// Read behind the last piece.
    rest: Vec<u8>,
}

impl<R: Read> Pieces<R> {
    /// Cuts `source`.
    pub fn new(source: R) -> Self {
        Self {
            source,
            rest: Vec::new(),
        }
    }

    /// Reads the next piece into the memory of `piece`; none at the end.
    pub fn next_piece(&mut self, mut piece: Piece) -> io::Result<Option<Piece>> {
        piece.length = 0;
        let rest = std::mem::take(&mut self.rest);
        piece.add(&mut &rest[..], rest.len())?;
        let mut checked = SMALLEST - BLOCK;
        loop {
            while checked + BLOCK <= piece.length {
                let block = &piece.buffer[checked..checked + BLOCK];
                checked += BLOCK;
                if crc32c::crc32c(block) & CUT == 0 || checked >= LARGEST {
                    self.rest = piece[checked..].to_vec();
                    piece.length = checked;
                    return Ok(Some(piece));
                }
            }
            let room = SMALLEST.saturating_sub(piece.length).max(STEP);
            if piece.add(&mut self.source, room)? == 0 {
                return Ok((piece.length > 0).then_some(piece));
            }
        }
    }
}

impl Piece {
    /// Adds bytes until there are `room` more or none are left. Returns how many.
    fn add(&mut self, source: &mut impl Read, room: usize) -> io::Result<usize> {
        let (start, end) = (self.length, self.length + room);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while self.length < end {
            match source.read(&mut self.buffer[self.length..end]) {
                Ok(0) => break,
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.length - start)
    }
}

/// Kept frames by the digest of their piece.
#[derive(Debug)]
pub struct Frames {
    folder: PathBuf,
    level: i32,
}

impl Frames {
    /// Keeps frames below `folder`, at the level of images.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Self::at_level(folder, ZSTD_LEVEL)
    }

    /// Keeps frames below `folder`. Another compressor, or another level of it, has another place.
    pub fn at_level(folder: &Path, level: i32) -> io::Result<Self> {
        let version = zstd::zstd_safe::version_number();
        let folder = folder.join(format!("zstd-{version}-{level}"));
        fs_err::create_dir_all(&folder)?;
        Ok(Self { folder, level })
    }

    /// Returns the frame for a piece: the kept one, or a new one, which is kept.
    pub fn frame(&self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let path = self.folder.join(blake3::hash(piece).to_hex().as_str());
        if let Some(frame) = kept(&path) {
            return Ok(frame);
        }
        let mut compressor = zstd::bulk::Compressor::new(self.level)?;
        compressor.include_checksum(true)?;
        let mut frame = compressor.compress(piece)?;
        let length = frame.len();
        frame.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        // Not flushed to the disk: a damaged frame shows by its check sum, and is made again.
        // Another thread may have a piece with the same bytes at the same moment.
        let partial = path.with_extension(format!(
            "{}.{:?}.partial",
            std::process::id(),
            std::thread::current().id()
        ));
        fs_err::write(&partial, &frame)?;
        fs_err::rename(&partial, &path)?;
        frame.truncate(length);
        Ok(frame)
    }
}

/// Reads a kept frame; none if it is not there or not as it was written.
fn kept(path: &Path) -> Option<Vec<u8>> {
    let mut frame = fs_err::read(path).ok()?;
    let check = frame.split_off(frame.len().checked_sub(CHECK)?);
    (crc32c::crc32c(&frame).to_le_bytes()[..] == check[..]).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like anything, the same every time (xorshift).
    fn noise(length: usize, mut seed: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Pieces::new(bytes);
        // Memory with something in it, as it comes back from an earlier piece.
        let used = || Piece {
            buffer: vec![0xff; SMALLEST + 5],
            length: 99,
        };
        std::iter::from_fn(|| pieces.next_piece(used()).unwrap())
            .map(|piece| piece.to_vec())
            .collect()
    }

    #[test]
    fn pieces_join_to_what_was_read() {
        for length in [0, 1, BLOCK, SMALLEST, SMALLEST + 1, 3 * LARGEST + 77] {
            let bytes = noise(length, 7);
            assert_eq!(pieces(&bytes).concat(), bytes, "{length}");
            let zeros = vec![0; length];
            assert_eq!(pieces(&zeros).concat(), zeros, "{length}");
        }
    }

    #[test]
    fn pieces_after_an_insertion_stay_the_same() {
        let bytes = noise(40 << 20, 7);
        let mut longer = bytes.clone();
        longer.splice(BLOCK * 5..BLOCK * 5, noise(3 * BLOCK, 9));
        let (before, after) = (pieces(&bytes), pieces(&longer));
        let same = after.iter().filter(|piece| before.contains(piece)).count();
        assert!(
            after.len() > 10 && same >= after.len() - 2,
            "{same} of {}",
            after.len()
        );
    }

    #[test]
    fn equal_pieces_are_kept_at_the_same_moment() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::new(folder.path()).unwrap();
        let start = std::sync::Barrier::new(8);
        for round in 0..100_u32 {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        frames.frame(&round.to_le_bytes()).unwrap();
                    });
                }
            });
        }
        assert_eq!(fs_err::read_dir(&frames.folder).unwrap().count(), 100);
    }

    #[test]
    fn a_damaged_frame_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::new(folder.path()).unwrap();
        let frame = frames.frame(b"piece").unwrap();
        assert_eq!(zstd::decode_all(&frame[..]).unwrap(), b"piece");
        let path = frames.folder.join(blake3::hash(b"piece").to_hex().as_str());
        let whole = fs_err::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..3], b""] {
            fs_err::write(&path, damaged).unwrap();
            assert_eq!(frames.frame(b"piece").unwrap(), frame);
            assert_eq!(fs_err::read(&path).unwrap(), whole);
        }
        let mut flipped = whole.clone();
        flipped[9] ^= 1;
        fs_err::write(&path, flipped).unwrap();
        assert_eq!(frames.frame(b"piece").unwrap(), frame);
    }
}
