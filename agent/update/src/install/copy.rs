//! Copies the slot that runs into the other one, piece by piece, on a device that never was updated. Its first update then
//! writes only what differs, and a card that loses the first slot has another.
//!
//! The first sector of the boot slot goes first and comes last, as when a bundle is installed: half a copy cannot start. What is
//! there already is not written, so going on after a power cut is beginning again.

use std::io;

use agent_region::Slot;
use agent_region::disk::{Disk, Reader};
use boot_partition::fat;
use content_digest::Sha256Digest;
use ota_bundle::Kind;
use verity_tree::{
    BLOCK, EROFS, SUPERBLOCK_LENGTH, Superblock, TreeBuilder, erofs_blocks, tree_blocks,
};

use super::{InstallError, Places};
use crate::boot::SECTOR_BYTES;

/// Bytes of one step: so long whoever asks for something else waits at most.
const PIECE: u64 = 1 << 20;
/// Steps between two flushes.
const FLUSH_EVERY: u64 = 16;

/// A copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The disk failed.
    #[error("the disk failed while the other slot was given a copy")]
    Disk(#[from] io::Error),
    /// The slots are not found.
    #[error(transparent)]
    Places(#[from] InstallError),
    /// What runs is not what its root hash says.
    #[error(
        "slot {slot} is damaged on this card, at a place that nothing has read so far: install an update, or flash the card again"
    )]
    Damaged {
        /// The slot that runs.
        slot: Slot,
    },
    /// What was written does not read back.
    #[error("the copy does not read back as it was written: the card is worn out or lies")]
    NotKept,
}

/// What runs, and where it goes.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: u64,
    to: u64,
    length: u64,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What differs is written.
    Write,
    /// All of it is read once more: of the boot slot nothing checks that later.
    Check,
}

/// A copy that is being made.
#[derive(Debug)]
pub struct Copying {
    slot: Slot,
    root: Part,
    boot: Part,
    /// Makes the root hash of what is read; nothing once that was right.
    tree: Option<TreeBuilder>,
    wanted: Sha256Digest,
    /// Length of what the tree is made of, in bytes.
    data: u64,
    pass: Pass,
    /// How far it is, through both parts.
    at: u64,
    has_written: bool,
    head: [u8; SECTOR_BYTES],
    here: Vec<u8>,
    there: Vec<u8>,
}

impl Copying {
    /// Begins a copy of the slot that runs, which has this root hash. From here on the other slot does not start.
    pub fn begin(
        disk: &mut impl Disk,
        running: Slot,
        wanted: Sha256Digest,
    ) -> Result<Self, CopyError> {
        let places = Places::of(disk)?;
        let part = |kind| {
            let (from, length) = places.part(kind, running);
            let (to, room) = places.part(kind, running.other());
            Part {
                from,
                to,
                length: length.min(room),
            }
        };
        let (mut root, mut boot) = (part(Kind::Root), part(Kind::Boot));
        let damaged = || CopyError::Damaged { slot: running };
        let mut bytes = [0; 64];
        disk.read_at(root.from + EROFS.start, &mut bytes)?;
        let blocks = erofs_blocks(&bytes).map_err(|_not_one| damaged())?;
        let length = (blocks + 1 + tree_blocks(blocks)) * BLOCK as u64;
        if length > root.length || boot.length < PIECE {
            return Err(damaged());
        }
        root.length = length;
        let mut bytes = [0; SUPERBLOCK_LENGTH];
        disk.read_at(root.from + blocks * BLOCK as u64, &mut bytes)?;
        let superblock = Superblock::from_bytes(&bytes).map_err(|_not_one| damaged())?;
        // A slot whose files cannot be told is copied as a whole.
        let used = fat::used(&mut Reader::new(disk)?, boot.from, boot.length);
        boot.length = used.map_or(boot.length, |used| used.clamp(PIECE, boot.length));
        let mut head = [0; SECTOR_BYTES];
        disk.read_at(boot.to, &mut head)?;
        if head != [0; SECTOR_BYTES] {
            disk.write_at(boot.to, &[0; SECTOR_BYTES])?;
            disk.flush()?;
        }
        disk.read_at(boot.from, &mut head)?;
        Ok(Self {
            slot: running,
            root,
            boot,
            tree: Some(TreeBuilder::new(&superblock.salt)),
            wanted,
            data: blocks * BLOCK as u64,
            pass: Pass::Write,
            at: 0,
            has_written: false,
            head,
            here: Vec::new(),
            there: Vec::new(),
        })
    }

    /// Copies one piece. Returns whether the copy is whole and flushed.
    pub fn step(&mut self, disk: &mut impl Disk) -> Result<bool, CopyError> {
        let is_root = self.at < self.root.length;
        let (part, at) = if is_root {
            (self.root, self.at)
        } else {
            (self.boot, self.at - self.root.length)
        };
        let length = PIECE.min(part.length - at);
        self.read(disk, (part.from + at, part.to + at), length)?;
        if is_root {
            self.vouch(at)?;
        } else if at == 0 {
            self.here[..SECTOR_BYTES].fill(0);
        }
        if self.here != self.there {
            if self.pass == Pass::Check {
                return Err(CopyError::NotKept);
            }
            disk.write_at(part.to + at, &self.here)?;
            self.has_written = true;
        }
        self.at += length;
        let is_over = self.at == self.root.length + self.boot.length;
        if is_over || (self.at / PIECE).is_multiple_of(FLUSH_EVERY) {
            disk.flush()?;
        }
        match self.pass {
            Pass::Write if is_over && self.has_written => {
                (self.pass, self.at) = (Pass::Check, 0);
                Ok(false)
            }
            _ if is_over => self.finish(disk).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Reads the same piece of both slots, from the disk itself.
    fn read(
        &mut self,
        disk: &mut impl Disk,
        (from, to): (u64, u64),
        length: u64,
    ) -> Result<(), CopyError> {
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        for (place, piece) in [(from, &mut self.here), (to, &mut self.there)] {
            piece.resize(bytes, 0);
            disk.forget(place, length);
            disk.read_at(place, piece)?;
            // Nobody reads it again soon, and the device is small.
            disk.forget(place, length);
        }
        Ok(())
    }

    /// Adds what was read of the root to its tree, and compares that once all of it was.
    fn vouch(&mut self, at: u64) -> Result<(), CopyError> {
        let Some(tree) = &mut self.tree else {
            return Ok(());
        };
        let left = usize::try_from(self.data.saturating_sub(at)).unwrap_or(usize::MAX);
        let data = &self.here[..self.here.len().min(left)];
        for block in data.chunks(BLOCK) {
            tree.block(block, &mut |_, _| {});
        }
        if at + self.here.len() as u64 >= self.data
            && let Some(tree) = self.tree.take()
            && tree.finish(&mut |_, _| {}) != self.wanted
        {
            return Err(CopyError::Damaged { slot: self.slot });
        }
        Ok(())
    }

    /// Lets the copy start.
    fn finish(&self, disk: &mut impl Disk) -> Result<(), CopyError> {
        disk.write_at(self.boot.to, &self.head)?;
        disk.flush()?;
        let mut head = [0; SECTOR_BYTES];
        disk.forget(self.boot.to, BLOCK as u64);
        disk.read_at(self.boot.to, &mut head)?;
        if head == self.head {
            Ok(())
        } else {
            Err(CopyError::NotKept)
        }
    }
}
