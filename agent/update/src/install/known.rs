//! What slots hold, by the hash trees behind their file systems: a hundredth of a slot is read, and a root hash vouches for it.
//!
//! What is known of a slot is what it held when it was whole. Whether it still does is seen where a part is read, and in any case
//! when the new version is on trial: dm-verity checks every block of it.

use std::io;

use agent_region::disk::Disk;
use content_digest::Sha256Digest;
use ota_bundle::{Segment, Verity};
use verity_tree::{
    BLOCK, EROFS, SALT, SUPERBLOCK_LENGTH, Salted, Superblock, Tree, TreeBuilder, erofs_blocks,
    leaf_blocks, tree_blocks,
};

const DIGEST: usize = 32;

/// Root hashes of what the slots hold, whole; nothing where that is not sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holds {
    /// Of the slot that runs.
    pub running: Option<Sha256Digest>,
    /// Of the one that is written.
    pub other: Option<Sha256Digest>,
}

/// Digests of all blocks of a new file system, as they come.
pub(super) struct Leaves {
    salt: [u8; SALT],
    root: Sha256Digest,
    /// Where they lie in the image.
    place: u64,
    digests: Vec<u8>,
}

impl Leaves {
    /// Prepares for those of an image of this length.
    pub(super) fn new(verity: &Verity, length: u64) -> Option<Self> {
        let stored = leaf_blocks(verity.data_blocks) * BLOCK as u64;
        Some(Self {
            salt: verity.salt()?,
            root: verity.root,
            place: length.checked_sub(stored)?,
            digests: vec![0; usize::try_from(verity.data_blocks).ok()? * DIGEST],
        })
    }

    /// Whether a segment has some of them.
    pub(super) const fn are_in(&self, segment: &Segment) -> bool {
        segment.place + segment.length as u64 > self.place
    }

    /// Takes what a segment has of them.
    pub(super) fn take(&mut self, segment: &Segment, bytes: &[u8]) {
        let skipped = usize::try_from(self.place.saturating_sub(segment.place));
        let bytes = bytes.get(skipped.unwrap_or(usize::MAX)..).unwrap_or(&[]);
        let at = usize::try_from(segment.place.saturating_sub(self.place)).unwrap_or(usize::MAX);
        // The last block ends with zeros that are no digests.
        let room = self.digests.get_mut(at..).unwrap_or(&mut []);
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
    }

    fn digests(&self) -> impl Iterator<Item = &[u8; DIGEST]> {
        self.digests.as_chunks().0.iter()
    }

    /// Whether all of them came.
    fn are_whole(&self) -> bool {
        Tree::of(&self.salt, self.digests()).root == self.root
    }

    /// Returns the number of the block that stands for a segment: another in each, since damage begins at round places.
    pub(super) const fn sample(number: u64, segment: &Segment) -> u64 {
        let blocks = segment.length as u64 / BLOCK as u64;
        segment.place / BLOCK as u64 + if blocks == 0 { 0 } else { number % blocks }
    }

    /// Whether that is how a block should be.
    pub(super) fn has(&self, number: u64, block: &[u8]) -> bool {
        let wanted = usize::try_from(number)
            .ok()
            .and_then(|at| self.digests().nth(at));
        wanted == Some(&Salted::new(&self.salt).block(block))
    }

    /// Returns for each segment whether a slot that has these held the same; nothing if that was made in another way.
    pub(super) fn compare(&self, slot: &Known, segments: &[Segment]) -> Option<Vec<bool>> {
        if slot.salt != self.salt || !self.are_whole() {
            return None;
        }
        let both = self.digests().zip(&slot.digests);
        let same: Vec<bool> = both.map(|(own, held)| short(own) == *held).collect();
        let is_same = |segment: &Segment| {
            let begin = usize::try_from(segment.place / BLOCK as u64).ok()?;
            let count = (segment.length as usize).div_ceil(BLOCK);
            Some(same.get(begin..begin + count)?.iter().all(|same| *same))
        };
        let known = segments
            .iter()
            .map(|segment| is_same(segment) == Some(true));
        Some(known.collect())
    }
}

/// Digests of all blocks of a slot's file system.
pub(super) struct Known {
    salt: [u8; SALT],
    /// The beginning of each: enough to tell two that were made by people who mean well, in a quarter of the memory.
    digests: Vec<u64>,
}

impl Known {
    /// Reads those of a slot; nothing if it does not hold what has this root hash.
    pub(super) fn read(
        disk: &mut impl Disk,
        (begin, size): (u64, u64),
        root: Sha256Digest,
    ) -> io::Result<Option<Self>> {
        let mut bytes = [0; 64];
        disk.read_at(begin + EROFS.start, &mut bytes)?;
        let Ok(blocks) = erofs_blocks(&bytes) else {
            return Ok(None);
        };
        let leaves = blocks + 1 + tree_blocks(blocks) - leaf_blocks(blocks);
        if blocks == 0 || (leaves + leaf_blocks(blocks)) * BLOCK as u64 > size {
            return Ok(None);
        }
        let mut bytes = [0; SUPERBLOCK_LENGTH];
        disk.read_at(begin + blocks * BLOCK as u64, &mut bytes)?;
        let Ok(Superblock { salt, .. }) = Superblock::from_bytes(&bytes) else {
            return Ok(None);
        };
        // The tree above is made of what is read: its root decides whether that counts.
        let mut builder = TreeBuilder::new(&salt);
        let mut digests = Vec::new();
        let mut block = [0; BLOCK];
        let mut left = usize::try_from(blocks).unwrap_or(usize::MAX);
        for number in leaves..leaves + leaf_blocks(blocks) {
            disk.read_at(begin + number * BLOCK as u64, &mut block)?;
            for digest in block.as_chunks().0.iter().take(left) {
                builder.digest(digest, &mut |_, _| {});
                digests.push(short(digest));
            }
            left = left.saturating_sub(BLOCK / DIGEST);
        }
        let is_it = builder.finish(&mut |_, _| {}) == root;
        Ok(is_it.then_some(Self { salt, digests }))
    }
}

fn short(digest: &[u8; DIGEST]) -> u64 {
    u64::from_le_bytes(*digest.first_chunk().expect("it is longer"))
}
