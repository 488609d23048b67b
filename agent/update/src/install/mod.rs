//! Writes a bundle into the slot that does not run. What is there already is not written, what the running slot has is not
//! fetched; nothing is kept but the slot itself, so going on after a power cut is reading it again. Where root hashes say what the
//! slots hold, only what differs is read.
//!
//! The first sector of the boot slot goes first and comes last: a half slot cannot start.

pub mod copy;
mod count;
mod known;
mod place;
mod work;

use std::io;

use agent_region::Slot;
use agent_region::disk::Disk;
use ota_bundle::delta::Patch;
use ota_bundle::{Bundle, Kind, Segment, SegmentError, Verified};

pub use count::{Cost, count};
pub use known::Holds;
use known::Leaves;
pub use place::{Facts, Misfit, Places};
use work::Work;

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
    #[error("the boot slot does not read back as it was written: the disk is worn out or lies")]
    NotKept,
    /// Somebody stopped it.
    #[error("the update was stopped")]
    Stopped,
}

/// Writes `bundle` into the slot that is not `running`. Returns when it is whole and flushed.
pub fn install(
    disk: &mut impl Disk,
    bundle: &Bundle<Verified>,
    (running, holds): (Slot, Holds),
    source: &mut impl Source,
    progress: &mut impl FnMut(Progress) -> Flow,
) -> Result<Progress, InstallError> {
    let places = Places::find(disk, bundle.manifest())?;
    let images = &bundle.manifest().images;
    let total = images.iter().map(|image| image.length).sum();
    let mut work = Work::new(disk, source, places, running, progress, total);
    work.destroy_head()?;
    let segments = bundle.segments(Kind::Root);
    let (leaves, first) = leaves(bundle);
    let mut numbered = (0..).zip(segments);
    let rest: Vec<(u32, &Segment)> = numbered.by_ref().take(first).collect();
    // The hashes first: they say what is there already.
    if let Some(mut leaves) = leaves {
        let held = work.held(holds)?;
        for (number, segment) in numbered {
            work.segment(Kind::Root, (number, segment))?;
            leaves.take(segment, work.last());
        }
        work.compare(&leaves, held, segments)?;
    }
    for numbered in rest {
        work.segment(Kind::Root, numbered)?;
    }
    let from = u32::try_from(segments.len()).unwrap_or(u32::MAX);
    let mut boot = (from..).zip(bundle.segments(Kind::Boot));
    if let Some(first) = boot.next() {
        work.first_boot_segment(first)?;
    }
    for numbered in boot {
        work.segment(Kind::Boot, numbered)?;
    }
    work.finish()
}

/// Prepares for the hashes of a bundle's root, if it has any, and finds the first segment that has some of them.
fn leaves(bundle: &Bundle<Verified>) -> (Option<Leaves>, usize) {
    let image = bundle.manifest().image(Kind::Root);
    let verity = image.verity.as_ref();
    let leaves = verity.and_then(|verity| Leaves::new(verity, image.length));
    let has_some = |segment: &Segment| leaves.as_ref().is_some_and(|own| own.are_in(segment));
    let first = bundle
        .segments(Kind::Root)
        .partition_point(|segment| !has_some(segment));
    (leaves, first)
}
