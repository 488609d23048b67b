//! Pieces of an image in memory that a disk takes directly.

use std::io;
use std::sync::Arc;

use crate::memory::{ALIGNMENT, Lent, Pool, fill};
use crate::source::Unpacked;

/// Bytes of a piece: large enough for any card reader.
pub const CHUNK: usize = 2 << 20;

/// A piece of the image.
#[derive(Debug)]
pub struct Chunk {
    /// Where it belongs.
    pub offset: u64,
    memory: Arc<Lent>,
    at: usize,
    length: usize,
}

impl Chunk {
    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory.bytes()[self.at..self.at + self.length]
    }

    /// Returns the bytes filled up with zeros to whole blocks.
    pub fn blocks(&self) -> &[u8] {
        let end = (self.at + self.length).next_multiple_of(ALIGNMENT);
        &self.memory.bytes()[self.at..end]
    }

    /// Takes the next one, as it was unpacked where that is possible, else by copying it into memory of the pool.
    /// Nothing at the end.
    pub(crate) fn next(
        unpacked: &mut Unpacked,
        pool: &Pool,
        offset: u64,
    ) -> io::Result<Option<Arc<Self>>> {
        let is_aligned = offset.is_multiple_of(ALIGNMENT as u64);
        if is_aligned && let Some((memory, at, length)) = unpacked.next_blocks(CHUNK)? {
            return Ok(Some(Arc::new(Self {
                offset,
                memory,
                at,
                length,
            })));
        }
        let mut memory = pool.take(CHUNK);
        let bytes = memory.bytes_mut();
        let length = fill(unpacked, &mut bytes[..CHUNK])?;
        let end = length.next_multiple_of(ALIGNMENT);
        bytes[length..end].fill(0);
        let memory = pool.lend(memory);
        let chunk = Self {
            offset,
            memory,
            at: 0,
            length,
        };
        Ok((length > 0).then(|| Arc::new(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    /// Files that are handed on as they were unpacked, that must be copied, and that change between.
    #[test]
    fn pieces_are_aligned_filled_up_and_their_memory_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let image: Vec<u8> = (0..5_000_000_u32)
            .flat_map(|n| (n / 3).to_le_bytes())
            .collect();
        let frames = |cuts: &[usize]| {
            let mut file = Vec::new();
            let mut rest = &image[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(*cut);
                file.extend(zstd::bulk::compress(piece, 1).unwrap());
                rest = after;
            }
            file.extend(zstd::bulk::compress(rest, 1).unwrap());
            file
        };
        let blocks = 3 << 20;
        for file in [
            image.clone(),
            frames(&[]),
            frames(&[blocks, blocks, blocks]),
            frames(&[blocks, 5000, blocks]),
            frames(&[blocks, 1, 4095, blocks, 1]),
        ] {
            fs_err::write(&path, file).unwrap();
            let source = Source::of_file(&path, 2).unwrap();
            let pool = Pool::new(CHUNK);
            let mut unpacked = source.open().unwrap();
            let (mut all, mut last) = (Vec::<u8>::new(), None);
            while let Some(chunk) = Chunk::next(&mut unpacked, &pool, all.len() as u64).unwrap() {
                assert_eq!(chunk.bytes().as_ptr().align_offset(ALIGNMENT), 0);
                assert!(chunk.blocks().len().is_multiple_of(ALIGNMENT));
                assert!(
                    chunk.blocks()[chunk.bytes().len()..]
                        .iter()
                        .all(|byte| *byte == 0)
                );
                all.extend(chunk.bytes());
                last = Some(chunk);
            }
            drop(last);
            assert!(all == image);
        }
    }
}
