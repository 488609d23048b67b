//! The hash tree that dm-verity checks a file system with. In: blocks of a file system; out: the tree that is stored behind
//! it, and the root hash that vouches for every byte. Never opens a disk.
//!
//! Linux: Documentation/admin-guide/device-mapper/verity.rst; the superblock is cryptsetup's
//! (<https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>): `veritysetup` reads and checks what is written here.

mod superblock;

use content_digest::Sha256Digest;
use sha2::{Digest as _, Sha256};

pub use superblock::{BadSuperblock, EROFS, SUPERBLOCK_LENGTH, Superblock, erofs_blocks};

/// Size of blocks of data and of the tree, in bytes.
pub const BLOCK: usize = 4096;
/// Length of the salt in bytes.
pub const SALT: usize = 32;
/// Digests in a block of the tree.
const FAN_OUT: usize = BLOCK / 32;

/// What every digest of the tree begins with.
#[derive(Debug, Clone)]
pub struct Salted(Sha256);

impl Salted {
    /// Begins every digest with `salt`.
    pub fn new(salt: &[u8; SALT]) -> Self {
        Self(Sha256::new_with_prefix(salt))
    }

    /// Returns the digest of one block.
    pub fn block(&self, block: &[u8]) -> [u8; 32] {
        debug_assert_eq!(block.len(), BLOCK);
        self.0.clone().chain_update(block).finalize().into()
    }
}

/// One level of the tree: its last block is not full yet.
#[derive(Debug, Clone, Default)]
struct Level {
    open: Vec<u8>,
    full: u64,
}

/// Builds the tree from the digests of data blocks, one after the other, with one open block a level in memory.
#[derive(Debug, Clone)]
pub struct TreeBuilder {
    salted: Salted,
    levels: Vec<Level>,
    blocks: u64,
}

impl TreeBuilder {
    /// Begins a tree.
    pub fn new(salt: &[u8; SALT]) -> Self {
        Self {
            salted: Salted::new(salt),
            levels: vec![Level::default()],
            blocks: 0,
        }
    }

    /// Takes the next block of data. Blocks of the tree that are whole go to `store` with their level, counted from the
    /// leaves.
    pub fn block(&mut self, block: &[u8], store: &mut impl FnMut(usize, &[u8])) {
        let digest = self.salted.block(block);
        self.digest(&digest, store);
    }

    /// Takes the digest of the next block of data, made by [`Salted::block`].
    pub fn digest(&mut self, digest: &[u8; 32], store: &mut impl FnMut(usize, &[u8])) {
        self.blocks += 1;
        self.put(0, digest, store);
    }

    fn put(&mut self, level: usize, digest: &[u8; 32], store: &mut impl FnMut(usize, &[u8])) {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        self.levels[level].open.extend_from_slice(digest);
        if self.levels[level].open.len() == BLOCK {
            self.close(level, store);
        }
    }

    /// Ends the open block of a level with zeros, and tells the level above.
    fn close(&mut self, level: usize, store: &mut impl FnMut(usize, &[u8])) {
        let mut block = std::mem::take(&mut self.levels[level].open);
        block.resize(BLOCK, 0);
        self.levels[level].full += 1;
        store(level, &block);
        let digest = self.salted.block(&block);
        self.put(level + 1, &digest, store);
    }

    /// Ends the tree and returns the root hash: the digest of the only block of the highest level.
    pub fn finish(mut self, store: &mut impl FnMut(usize, &[u8])) -> Sha256Digest {
        let mut level = 0;
        loop {
            if !self.levels[level].open.is_empty() {
                self.close(level, store);
            }
            // One block, and its digest alone above it: that is the root.
            if self.levels[level].full <= 1 {
                let root = self
                    .levels
                    .get(level + 1)
                    .map(|above| above.open.as_slice());
                let root = root.and_then(|root| root.try_into().ok());
                return Sha256Digest::from(root.unwrap_or([0; 32]));
            }
            level += 1;
        }
    }
}

/// A whole tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its blocks as they are stored: the highest level first.
    pub bytes: Vec<u8>,
    /// The root hash.
    pub root: Sha256Digest,
}

impl Tree {
    /// Makes the tree of data whose blocks have these digests, in order.
    pub fn of<'d>(salt: &[u8; SALT], digests: impl IntoIterator<Item = &'d [u8; 32]>) -> Self {
        let mut levels: Vec<Vec<u8>> = Vec::new();
        let mut store = |level: usize, block: &[u8]| {
            if levels.len() == level {
                levels.push(Vec::new());
            }
            levels[level].extend_from_slice(block);
        };
        let mut builder = TreeBuilder::new(salt);
        for digest in digests {
            builder.digest(digest, &mut store);
        }
        let root = builder.finish(&mut store);
        levels.reverse();
        Self {
            bytes: levels.concat(),
            root,
        }
    }
}

/// Returns how many blocks the lowest level has: it holds the digests of data, one after the other, and is stored last.
pub const fn leaf_blocks(data_blocks: u64) -> u64 {
    data_blocks.div_ceil(FAN_OUT as u64)
}

/// Returns how many blocks the tree of so many blocks of data has.
pub fn tree_blocks(data_blocks: u64) -> u64 {
    let (mut total, mut level) = (0, data_blocks);
    loop {
        level = level.div_ceil(FAN_OUT as u64);
        total += level;
        if level <= 1 {
            return total;
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]
mod tests;
