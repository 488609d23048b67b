//! The work on one segment after the other. The card is slower than all else: nothing is read that need not be.

use agent_region::Slot;
use agent_region::disk::Disk;
use ota_bundle::delta::Patch;
use ota_bundle::{Kind, Segment};
use verity_tree::BLOCK;

use super::known::{Known, Leaves};
use super::{Flow, Holds, InstallError, Places, Progress, Source};
use crate::boot::SECTOR_BYTES;

/// Bytes that are written between two flushes: so much is written again at most after a power cut.
const FLUSH_EVERY: u64 = 16 << 20;
/// What the kernel remembers is counted in pages of so many bytes.
const PAGE: u64 = 4096;
/// What differs mostly differs in its first bytes: so many are compared before the rest is read.
const FIRST: usize = 4096;
/// After so many segments in a row that were not there …
const MISSES: u32 = 8;
/// … only one of so many is read as a whole to see, until one is there. What is fetched without that is fetched once more at worst.
const PROBE: u32 = 8;

pub(super) struct Work<'w, D, S, P> {
    disk: &'w mut D,
    source: &'w mut S,
    places: Places,
    running: Slot,
    progress: &'w mut P,
    so_far: Progress,
    /// What is known of the root slots, segment by segment: the one that runs, and the one that is written.
    known: [Option<Vec<bool>>; 2],
    /// Segments in a row that the slot did not have.
    misses: u32,
    /// What was written of the boot slot since the last flush.
    written: Vec<Segment>,
    unflushed: u64,
    /// The first sector of the boot slot, which is written last.
    head: Vec<u8>,
    reference: Vec<u8>,
    stored: Vec<u8>,
    plain: Vec<u8>,
    there: Vec<u8>,
}

impl<'w, D: Disk, S: Source, P: FnMut(Progress) -> Flow> Work<'w, D, S, P> {
    pub(super) fn new(
        disk: &'w mut D,
        source: &'w mut S,
        places: Places,
        running: Slot,
        progress: &'w mut P,
        total: u64,
    ) -> Self {
        Self {
            disk,
            source,
            places,
            running,
            progress,
            so_far: Progress {
                total,
                ..Progress::default()
            },
            known: [None, None],
            misses: 0,
            written: Vec::new(),
            unflushed: 0,
            head: Vec::new(),
            reference: Vec::new(),
            stored: Vec::new(),
            plain: Vec::new(),
            there: Vec::new(),
        }
    }

    /// Makes the slot one that no firmware starts.
    pub(super) fn destroy_head(&mut self) -> Result<(), InstallError> {
        let place = self.target(Kind::Boot, 0);
        let mut sector = [0; SECTOR_BYTES];
        self.disk
            .read_at(place, &mut sector)
            .map_err(InstallError::Disk)?;
        if sector != [0; SECTOR_BYTES] {
            self.disk
                .write_at(place, &[0; SECTOR_BYTES])
                .map_err(InstallError::Disk)?;
            self.disk.flush().map_err(InstallError::Disk)?;
        }
        Ok(())
    }

    /// Puts one segment where it belongs, unless it is there. Segments are counted through both images.
    pub(super) fn segment(
        &mut self,
        kind: Kind,
        (number, segment): (u32, &Segment),
    ) -> Result<(), InstallError> {
        let to = self.target(kind, segment.place);
        let [running, target] = self.known_of(kind, number);
        if target == Some(true) {
            return self.found(segment);
        }
        let is_looked_for = target.is_none() && self.may_be_there();
        if is_looked_for {
            self.read_target(to, segment.length as usize)?;
            if segment.is(&self.there) {
                std::mem::swap(&mut self.there, &mut self.plain);
                return self.found(segment);
            }
        }
        self.misses = self.misses.saturating_add(1);
        if running == Some(false) || !self.take_from_running(kind, (number, segment))? {
            self.fetch((number, segment))?;
        } else if target.is_none() && !is_looked_for && self.has(to, 0)? {
            return self.found(segment);
        }
        self.disk
            .write_at(to, &self.plain)
            .map_err(InstallError::Disk)?;
        self.wrote(kind, segment, self.plain.len())
    }

    /// Reads what the slots hold, before anything is written.
    pub(super) fn held(&mut self, holds: Holds) -> Result<[Option<Known>; 2], InstallError> {
        let slots = [
            (self.running, holds.running),
            (self.running.other(), holds.other),
        ];
        let mut held = [None, None];
        for (held, (slot, root)) in held.iter_mut().zip(slots) {
            if let Some(root) = root {
                let read = Known::read(self.disk, self.places.part(Kind::Root, slot), root);
                *held = read.map_err(InstallError::Disk)?;
            }
        }
        Ok(held)
    }

    /// Compares that with the hashes of the new root: what need not be read is not.
    pub(super) fn compare(
        &mut self,
        leaves: &Leaves,
        held: [Option<Known>; 2],
        segments: &[Segment],
    ) -> Result<(), InstallError> {
        self.misses = 0;
        self.known = held.map(|held| leaves.compare(&held?, segments));
        // Somebody else may have written there, or the card may have lost much: of each segment one block is read. Damage of
        // less than a segment may show only when the slot is on trial.
        let there = self.known[1].take().unwrap_or_default();
        let same = (0..).zip(segments).zip(&there).filter(|(_, same)| **same);
        for ((number, segment), _) in same {
            let block = Leaves::sample(number, segment);
            let place = self.target(Kind::Root, block * BLOCK as u64);
            self.read_target(place, BLOCK)?;
            if !leaves.has(block, &self.there) {
                return Ok(());
            }
        }
        self.known[1] = (!there.is_empty()).then_some(there);
        Ok(())
    }

    /// Whether the running slot has the same at its place, and whether the other one has.
    pub(super) fn known_of(&self, kind: Kind, number: u32) -> [Option<bool>; 2] {
        let of = |known: &Option<Vec<bool>>| {
            let known = known.as_ref().filter(|_| kind == Kind::Root)?;
            known.get(number as usize).copied()
        };
        [of(&self.known[0]), of(&self.known[1])]
    }

    /// Whether a slot has a segment at its place: as is known, or as is read.
    pub(super) fn has_in(
        &mut self,
        slot: Slot,
        known: Option<bool>,
        (kind, segment): (Kind, &Segment),
    ) -> Result<bool, InstallError> {
        if let Some(known) = known {
            return Ok(known);
        }
        self.there.resize(segment.length as usize, 0);
        let place = self.places.offset(kind, slot) + segment.place;
        self.disk
            .read_at(place, &mut self.there)
            .map_err(InstallError::Disk)?;
        Ok(segment.is(&self.there))
    }

    /// Returns how many bytes are fetched for a segment that the running slot has not.
    pub(super) fn price(&self, (number, segment): (u32, &Segment)) -> u64 {
        let patch = self.source.patch(number);
        patch.map_or(segment.stored, |patch| patch.stored).into()
    }

    /// Has a segment in `plain` if what runs has it, or can be made into it by a patch: none of the bundle's own is fetched.
    pub(super) fn make_of_running(
        &mut self,
        kind: Kind,
        (number, segment): (u32, &Segment),
    ) -> Result<bool, InstallError> {
        match self.source.patch(number).cloned() {
            Some(patch) => self.apply(segment, &patch),
            None => self.take_from_running(kind, (number, segment)),
        }
    }

    /// Returns the bytes of the last segment.
    pub(super) fn last(&self) -> &[u8] {
        &self.plain
    }

    /// Puts the first segment of the boot slot there, but for its first sector, which is kept for the end.
    pub(super) fn first_boot_segment(
        &mut self,
        (number, segment): (u32, &Segment),
    ) -> Result<(), InstallError> {
        if !self.take_from_running(Kind::Boot, (number, segment))? {
            self.fetch((number, segment))?;
        }
        let sector = self.plain.len().min(SECTOR_BYTES);
        self.head = self.plain[..sector].to_vec();
        let to = self.target(Kind::Boot, 0);
        if self.has(to, sector)? {
            return self.done(segment);
        }
        self.disk
            .write_at(to + sector as u64, &self.plain[sector..])
            .map_err(InstallError::Disk)?;
        self.wrote(Kind::Boot, segment, self.plain.len() - sector)
    }

    /// Lets the slot start, now that all of it is there.
    pub(super) fn finish(mut self) -> Result<Progress, InstallError> {
        self.flush()?;
        let place = self.target(Kind::Boot, 0);
        self.disk
            .write_at(place, &self.head)
            .map_err(InstallError::Disk)?;
        self.disk.flush().map_err(InstallError::Disk)?;
        self.read_target(place, self.head.len())?;
        if self.there == self.head {
            Ok(self.so_far)
        } else {
            Err(InstallError::NotKept)
        }
    }

    fn target(&self, kind: Kind, place: u64) -> u64 {
        self.places.offset(kind, self.running.other()) + place
    }

    /// Reads from the disk itself into `there`.
    fn read_target(&mut self, at: u64, length: usize) -> Result<(), InstallError> {
        self.there.resize(length, 0);
        // Whole pages: of others, what is remembered stays.
        let begin = at / PAGE * PAGE;
        let end = (at + length as u64).next_multiple_of(PAGE);
        self.disk.forget(begin, end - begin);
        self.disk
            .read_at(at, &mut self.there)
            .map_err(InstallError::Disk)
    }

    /// Whether the disk has `plain` at a place, but for so many of its first bytes.
    fn has(&mut self, at: u64, without: usize) -> Result<bool, InstallError> {
        let mut from = without;
        for to in [FIRST.min(self.plain.len()).max(without), self.plain.len()] {
            self.read_target(at + from as u64, to - from)?;
            if self.there != self.plain[from..to] {
                return Ok(false);
            }
            from = to;
        }
        Ok(true)
    }

    fn found(&mut self, segment: &Segment) -> Result<(), InstallError> {
        self.misses = 0;
        self.done(segment)
    }

    /// Whether a segment is worth looking for before anything is known of it.
    const fn may_be_there(&self) -> bool {
        self.misses < MISSES || self.misses.is_multiple_of(PROBE)
    }

    /// Has the segment in `plain` if the running slot has the same at its place. Where there is a patch, it has another.
    fn take_from_running(
        &mut self,
        kind: Kind,
        (number, segment): (u32, &Segment),
    ) -> Result<bool, InstallError> {
        if self.source.patch(number).is_some() {
            return Ok(false);
        }
        let from = self.places.offset(kind, self.running) + segment.place;
        self.plain.resize(segment.length as usize, 0);
        self.disk
            .read_at(from, &mut self.plain)
            .map_err(InstallError::Disk)?;
        Ok(segment.is(&self.plain))
    }

    /// Has the segment in `plain`, made of what runs or from the bundle.
    fn fetch(&mut self, (number, segment): (u32, &Segment)) -> Result<(), InstallError> {
        if let Some(patch) = self.source.patch(number).cloned()
            && self.apply(segment, &patch)?
        {
            return Ok(());
        }
        self.stored.clear();
        if segment.stored > 0 {
            self.source
                .read(segment.offset, segment.stored, &mut self.stored)
                .map_err(InstallError::Source)?;
            self.so_far.fetched += u64::from(segment.stored);
        }
        Ok(segment.unpack(&self.stored, &mut self.plain)?)
    }

    /// Makes the segment of what runs. A patch that cannot be had, or that makes something else, is passed over: the bundle has
    /// all segments whole.
    fn apply(&mut self, segment: &Segment, patch: &Patch) -> Result<bool, InstallError> {
        self.reference.clear();
        for range in &patch.ranges {
            let Some(place) =
                self.places
                    .within(range.kind, self.running, range.offset, range.length)
            else {
                return Ok(false);
            };
            let from = self.reference.len();
            self.reference.resize(from + range.length as usize, 0);
            self.disk
                .read_at(place, &mut self.reference[from..])
                .map_err(InstallError::Disk)?;
        }
        self.stored.clear();
        if self.source.read_patch(patch, &mut self.stored).is_err() {
            return Ok(false);
        }
        self.so_far.fetched += self.stored.len() as u64;
        let made = patch.unpack(&self.stored, &self.reference, segment, &mut self.plain);
        Ok(made.is_ok())
    }

    fn wrote(&mut self, kind: Kind, segment: &Segment, count: usize) -> Result<(), InstallError> {
        self.so_far.written += count as u64;
        self.unflushed += count as u64;
        if kind == Kind::Boot {
            self.written.push(*segment);
        }
        if self.unflushed >= FLUSH_EVERY {
            self.flush()?;
        }
        self.done(segment)
    }

    /// Has the disk keep what was written, and looks whether the boot slot reads back: nothing checks that later. Of the root,
    /// dm-verity checks every block when the slot is on trial.
    fn flush(&mut self) -> Result<(), InstallError> {
        self.unflushed = 0;
        self.disk.flush().map_err(InstallError::Disk)?;
        for segment in std::mem::take(&mut self.written) {
            let place = self.target(Kind::Boot, segment.place);
            self.read_target(place, segment.length as usize)?;
            if segment.place == 0 {
                self.there[..self.head.len()].copy_from_slice(&self.head);
            }
            if !segment.is(&self.there) {
                return Err(InstallError::NotKept);
            }
        }
        Ok(())
    }

    fn done(&mut self, segment: &Segment) -> Result<(), InstallError> {
        self.so_far.done += u64::from(segment.length);
        match (self.progress)(self.so_far) {
            Flow::On => Ok(()),
            Flow::Stop => {
                self.flush()?;
                Err(InstallError::Stopped)
            }
        }
    }
}
