//! Reads a file on a thread of its own, ahead of who unpacks it, and hashes it there if that is wanted.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use content_digest::{HashingReader, Sha256Digest};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;
/// So many blocks are read ahead.
const BLOCKS: usize = 3;

/// Digest of a file, there when all of it was read.
pub type FileDigest = Arc<OnceLock<Sha256Digest>>;

/// What is read ahead.
pub(super) struct Ahead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    back: SyncSender<Vec<u8>>,
}

impl Ahead {
    /// Begins to read.
    pub(super) fn new(file: impl Read + Send + 'static, digest: Option<FileDigest>) -> Self {
        let (outlet, blocks) = sync_channel(BLOCKS);
        let (back, free) = sync_channel(BLOCKS + 2);
        std::thread::spawn(move || match digest {
            None => read(file, &outlet, &free),
            Some(digest) => {
                let mut file = HashingReader::new(file);
                if read(&mut file, &outlet, &free) {
                    // Read before: by a disk that went on alone. It has the same digest, or the file was changed.
                    digest.get_or_init(|| file.finish());
                }
                true
            }
        });
        Self {
            blocks,
            block: Vec::new(),
            at: 0,
            back,
        }
    }
}

/// Reads to the end. Says whether it got there.
fn read(
    mut file: impl Read,
    blocks: &SyncSender<io::Result<Vec<u8>>>,
    free: &Receiver<Vec<u8>>,
) -> bool {
    let limit = u64::try_from(BLOCK).expect("a small number");
    loop {
        let mut block = free.try_recv().unwrap_or_default();
        block.clear();
        match file.by_ref().take(limit).read_to_end(&mut block) {
            Ok(0) => return true,
            Ok(_) if blocks.send(Ok(block)).is_err() => return false,
            Ok(_) => {}
            Err(error) => {
                drop(blocks.send(Err(error)));
                return false;
            }
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            let Ok(next) = self.blocks.recv() else {
                return Ok(0);
            };
            let old = std::mem::replace(&mut self.block, next?);
            drop(self.back.try_send(old));
            self.at = 0;
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
