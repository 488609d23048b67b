//! Pieces of an image in memory that a disk takes directly.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes of a piece: large enough for any card reader.
pub const CHUNK: usize = 2 << 20;
/// What direct I/O asks of memory (`O_DIRECT` of open(2): the logical block size; 4096 is the largest).
pub(crate) const ALIGNMENT: usize = 4096;

/// Memory at an address that direct I/O takes.
#[derive(Debug)]
pub(crate) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// Makes some that holds zeros.
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// A piece of the image. When the last disk is done with it, its memory is used again.
#[derive(Debug)]
pub struct Chunk {
    /// Where it belongs.
    pub offset: u64,
    length: usize,
    memory: Option<Aligned>,
    back: SyncSender<Aligned>,
}

impl Chunk {
    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        let memory = self.memory.as_ref().map_or(&[][..], Aligned::bytes);
        &memory[..self.length]
    }

    /// Returns the bytes filled up with zeros to whole blocks.
    pub fn blocks(&self) -> &[u8] {
        let memory = self.memory.as_ref().map_or(&[][..], Aligned::bytes);
        &memory[..self.length.next_multiple_of(ALIGNMENT).min(memory.len())]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            // Nobody fills it any more: then it is freed.
            drop(self.back.try_send(memory));
        }
    }
}

/// Memory for so many pieces.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Receiver<Aligned>,
    back: SyncSender<Aligned>,
}

impl Pool {
    pub(crate) fn new(pieces: usize) -> Self {
        let (back, free) = sync_channel(pieces);
        for _ in 0..pieces {
            back.try_send(Aligned::new(CHUNK)).expect("there is room");
        }
        Self { free, back }
    }

    /// Waits for memory and fills it from a reader. Nothing at its end.
    pub(crate) fn fill(
        &self,
        reader: &mut dyn std::io::Read,
        offset: u64,
    ) -> std::io::Result<Option<Arc<Chunk>>> {
        let mut memory = self.free.recv().expect("the pool holds a sender itself");
        let bytes = memory.bytes_mut();
        let mut length = 0;
        while length < CHUNK {
            match reader.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let end = length.next_multiple_of(ALIGNMENT).min(CHUNK);
        bytes[length..end].fill(0);
        let chunk = Chunk {
            offset,
            length,
            memory: Some(memory),
            back: self.back.clone(),
        };
        Ok((length > 0).then(|| Arc::new(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_filled_up_and_their_memory_comes_back() {
        let pool = Pool::new(2);
        let mut image = &vec![7; CHUNK + 5000][..];
        for round in 0..3 {
            let mut again = &vec![7; CHUNK + 5000][..];
            let first = pool.fill(&mut again, 0).unwrap().unwrap();
            let second = pool.fill(&mut again, first.bytes().len() as u64).unwrap();
            let second = second.unwrap();
            assert_eq!(first.bytes().as_ptr().align_offset(ALIGNMENT), 0);
            assert_eq!((first.bytes().len(), second.bytes().len()), (CHUNK, 5000));
            assert_eq!(second.blocks().len(), 8192, "{round}");
            assert!(second.blocks()[5000..].iter().all(|byte| *byte == 0));
            drop((first, second));
            assert!(pool.fill(&mut again, 0).unwrap().is_none());
        }
        assert!(pool.fill(&mut image, 0).unwrap().is_some());
    }
}
