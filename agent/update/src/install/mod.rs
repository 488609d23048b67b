//! Writes a bundle into the slot that does not run. What is there already is not written, what the running slot has is not
//! fetched; nothing is kept but the slot itself, so going on after a power cut is reading it again.
//!
//! The first sector of the boot slot goes first and comes last: a half slot cannot start.

mod place;
mod verify;

use std::io;

use agent_region::Slot;
use agent_region::disk::Disk;
use boot_partition::mbr::SECTOR;
use ota_bundle::delta::Patch;
use ota_bundle::{Bundle, Kind, Segment, SegmentError, Verified};

use crate::boot::SECTOR_BYTES;
pub use place::{Facts, Misfit, Places};

/// Bytes that are written between two flushes: so much is written again at most after a power cut.
const FLUSH_EVERY: u64 = 16 << 20;

/// Where a bundle's bytes come from.
pub trait Source {
    /// Reads `length` bytes at `offset` of the bundle into `bytes`, which is emptied before.
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()>;

    /// Returns what makes a segment out of the version that runs, where there is such a patch. Segments are counted through all
    /// images.
    fn patch(&self, _segment: u32) -> Option<&Patch> {
        None
    }

    /// Reads a patch's stored bytes into `bytes`, which is emptied before.
    fn read_patch(&mut self, _patch: &Patch, _bytes: &mut Vec<u8>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of the images that are right.
    pub done: u64,
    /// Bytes of the images.
    pub total: u64,
    /// Bytes that were fetched.
    pub fetched: u64,
    /// Bytes that were written.
    pub written: u64,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    On,
    /// Stop: what is written stays, and the next one goes on from there.
    Stop,
}

/// A bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The disk failed.
    #[error("the disk failed while the update was written")]
    Disk(#[source] io::Error),
    /// The bundle's bytes cannot be had.
    #[error("the update cannot be fetched")]
    Source(#[source] io::Error),
    /// The bundle's bytes are not what the manifest promises.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The bundle is not for this device.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// What was written does not read back.
    #[error("the {part} slot does not read back as it was written: the disk is worn out or lies")]
    NotKept {
        /// Which part.
        part: &'static str,
    },
    /// Somebody stopped it.
    #[error("the update was stopped")]
    Stopped,
}

/// Writes `bundle` into the slot that is not `running`. Returns when it is whole, flushed and read back.
pub fn install(
    disk: &mut impl Disk,
    bundle: &Bundle<Verified>,
    running: Slot,
    source: &mut impl Source,
    progress: &mut impl FnMut(Progress) -> Flow,
) -> Result<Progress, InstallError> {
    let places = Places::find(disk, bundle.manifest())?;
    let images = &bundle.manifest().images;
    let mut work = Work {
        disk,
        source,
        places,
        running,
        number: 0,
        reference: Vec::new(),
        progress,
        so_far: Progress {
            total: images.iter().map(|image| image.length).sum(),
            ..Progress::default()
        },
        unflushed: 0,
        stored: Vec::new(),
        plain: Vec::new(),
        there: Vec::new(),
    };
    let target = running.other();
    let head_place = places.offset(Kind::Boot, target);
    work.destroy_head(head_place)?;
    for segment in bundle.segments(Kind::Root) {
        work.segment(
            segment,
            places.offset(Kind::Root, running),
            places.offset(Kind::Root, target),
        )?;
    }
    let from = places.offset(Kind::Boot, running);
    let (mut head, mut rest) = (None, bundle.segments(Kind::Boot).iter());
    if let Some(first) = rest.next() {
        head = Some(work.first_boot_segment(first, from, head_place)?);
    }
    for segment in rest {
        work.segment(segment, from, head_place)?;
    }
    work.flush()?;
    let head = head.unwrap_or_default();
    let manifest = bundle.manifest();
    let root = places.offset(Kind::Root, target);
    verify::image(work.disk, manifest.image(Kind::Root), root, &[], "root")?;
    verify::image(
        work.disk,
        manifest.image(Kind::Boot),
        head_place,
        &head,
        "boot",
    )?;
    work.write_head(head_place, &head)?;
    Ok(work.so_far)
}

/// What installing would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Bytes to fetch.
    pub fetch: u64,
    /// Bytes to write.
    pub write: u64,
}

/// Counts what [`install`] would fetch and write. It reads both slots and changes nothing; `goes_on` is asked once a segment.
pub fn count(
    disk: &mut impl Disk,
    bundle: &Bundle<Verified>,
    running: Slot,
    source: &impl Source,
    goes_on: &mut impl FnMut() -> Flow,
) -> Result<Cost, InstallError> {
    let places = Places::find(disk, bundle.manifest())?;
    let mut cost = Cost::default();
    let (mut bytes, mut number) = (Vec::new(), 0);
    for kind in [Kind::Root, Kind::Boot] {
        for segment in bundle.segments(kind) {
            let mut has = |slot| {
                bytes.resize(segment.length as usize, 0);
                let place = places.offset(kind, slot) + segment.place;
                disk.read_at(place, &mut bytes)
                    .map_err(InstallError::Disk)?;
                Ok::<bool, InstallError>(segment.is(&bytes))
            };
            // The head of the boot slot is destroyed before anything else.
            let is_head = kind == Kind::Boot && segment.place == 0;
            if is_head || !has(running.other())? {
                cost.write += u64::from(segment.length);
                if !has(running)? {
                    let patch = source.patch(number);
                    let stored = patch.map_or(segment.stored, |patch| patch.stored);
                    cost.fetch += u64::from(stored);
                }
            }
            number += 1;
            if goes_on() == Flow::Stop {
                return Err(InstallError::Stopped);
            }
        }
    }
    Ok(cost)
}

struct Work<'w, D, S, P> {
    disk: &'w mut D,
    source: &'w mut S,
    places: Places,
    running: Slot,
    /// Segments that are done.
    number: u32,
    reference: Vec<u8>,
    progress: &'w mut P,
    so_far: Progress,
    unflushed: u64,
    stored: Vec<u8>,
    plain: Vec<u8>,
    there: Vec<u8>,
}

impl<D: Disk, S: Source, P: FnMut(Progress) -> Flow> Work<'_, D, S, P> {
    /// Makes the slot one that no firmware starts.
    fn destroy_head(&mut self, place: u64) -> Result<(), InstallError> {
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

    fn write_head(&mut self, place: u64, head: &[u8]) -> Result<(), InstallError> {
        self.disk
            .write_at(place, head)
            .map_err(InstallError::Disk)?;
        self.disk.flush().map_err(InstallError::Disk)?;
        self.disk.forget(place, SECTOR);
        let mut back = vec![0; head.len()];
        self.disk
            .read_at(place, &mut back)
            .map_err(InstallError::Disk)?;
        if back == head {
            Ok(())
        } else {
            Err(InstallError::NotKept { part: "boot" })
        }
    }

    /// Puts one segment where it belongs, unless it is there. Most are as in the running slot: those are hashed once.
    fn segment(&mut self, segment: &Segment, from: u64, to: u64) -> Result<(), InstallError> {
        let is_running = self.take_from(segment, from)?;
        self.there.resize(segment.length as usize, 0);
        self.disk
            .read_at(to + segment.place, &mut self.there)
            .map_err(InstallError::Disk)?;
        if is_running && self.there == self.plain || !is_running && segment.is(&self.there) {
            return self.done(segment);
        }
        if !is_running {
            self.fetch(segment)?;
        }
        self.disk
            .write_at(to + segment.place, &self.plain)
            .map_err(InstallError::Disk)?;
        self.wrote(self.plain.len())?;
        self.done(segment)
    }

    /// Puts the first segment of the boot slot there, but for its first sector, which is returned.
    fn first_boot_segment(
        &mut self,
        segment: &Segment,
        from: u64,
        to: u64,
    ) -> Result<Vec<u8>, InstallError> {
        if !self.take_from(segment, from)? {
            self.fetch(segment)?;
        }
        let sector = self.plain.len().min(SECTOR_BYTES);
        let head = self.plain[..sector].to_vec();
        self.there.resize(segment.length as usize, 0);
        self.disk
            .read_at(to, &mut self.there)
            .map_err(InstallError::Disk)?;
        if self.there[sector..] != self.plain[sector..] {
            self.disk
                .write_at(to + sector as u64, &self.plain[sector..])
                .map_err(InstallError::Disk)?;
            self.wrote(self.plain.len() - sector)?;
        }
        self.done(segment)?;
        Ok(head)
    }

    /// Has the segment in `plain` if the running slot has the same.
    fn take_from(&mut self, segment: &Segment, from: u64) -> Result<bool, InstallError> {
        self.plain.resize(segment.length as usize, 0);
        self.disk
            .read_at(from + segment.place, &mut self.plain)
            .map_err(InstallError::Disk)?;
        Ok(segment.is(&self.plain))
    }

    /// Has the segment in `plain`, made of what runs or from the bundle.
    fn fetch(&mut self, segment: &Segment) -> Result<(), InstallError> {
        if let Some(patch) = self.source.patch(self.number).cloned()
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

    fn wrote(&mut self, count: usize) -> Result<(), InstallError> {
        self.so_far.written += count as u64;
        self.unflushed += count as u64;
        if self.unflushed >= FLUSH_EVERY {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), InstallError> {
        self.unflushed = 0;
        self.disk.flush().map_err(InstallError::Disk)
    }

    fn done(&mut self, segment: &Segment) -> Result<(), InstallError> {
        self.so_far.done += u64::from(segment.length);
        self.number += 1;
        match (self.progress)(self.so_far) {
            Flow::On => Ok(()),
            Flow::Stop => {
                self.flush()?;
                Err(InstallError::Stopped)
            }
        }
    }
}
