//! What differs between two releases: a file beside a bundle, for devices that run a certain older one. It holds patches for
//! segments; a device that has one needs the segment's own bytes no more. `SPEC.md` is the form.

mod make;
mod table;

use std::io;

use content_digest::Sha256Digest;
use zstd::zstd_safe::DCtx;

use crate::manifest::Kind;
use crate::segment::{Segment, SegmentError};

pub use make::{Old, make};
pub use table::{DELTA_HEAD, DeltaError, DeltaHead};

/// Most bytes of an older release that a patch may refer to: a device holds them in memory.
pub const MOST_REFERENCE: u32 = 4 << 20;
/// Most places of it that a patch may refer to.
pub const MOST_RANGES: usize = 16;
/// Largest table, in bytes.
pub const MOST_DELTA_TABLE: u32 = 4 << 20;

/// A place in the images of the older release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Which image.
    pub kind: Kind,
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub length: u32,
}

/// What makes a segment out of the older release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Which segment, counted from the first of the root image through all images.
    pub segment: u32,
    /// Where its stored bytes begin in the file.
    pub offset: u64,
    /// How many those are.
    pub stored: u32,
    /// What it refers to, one after the other.
    pub ranges: Vec<Range>,
}

/// The patches from one release to another, without their bytes. Only what was vouched for makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    patches: Vec<Patch>,
}

impl Delta {
    /// Takes head and table, and checks that the table is the one that was vouched for.
    pub fn read(bytes: &[u8], table: Sha256Digest) -> Result<Self, DeltaError> {
        Ok(Self {
            patches: table::read(bytes, table)?,
        })
    }

    /// Returns the patch of a segment, if there is one.
    pub fn patch(&self, segment: u32) -> Option<&Patch> {
        let found = self
            .patches
            .binary_search_by_key(&segment, |patch| patch.segment);
        found.ok().and_then(|at| self.patches.get(at))
    }

    /// Returns all patches.
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }
}

impl Patch {
    /// Returns how many bytes of the older release it refers to.
    pub fn reference(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| u64::from(range.length))
            .sum()
    }

    /// Makes the segment into `plain`, of the stored bytes and what they refer to. No more is made than the segment has.
    pub fn unpack(
        &self,
        stored: &[u8],
        reference: &[u8],
        segment: &Segment,
        plain: &mut Vec<u8>,
    ) -> Result<(), SegmentError> {
        let fail = |what| SegmentError {
            place: segment.place,
            what,
        };
        plain.clear();
        plain.reserve_exact(segment.length as usize);
        let mut context = DCtx::create();
        context
            .ref_prefix(reference)
            .map_err(|_code| fail("it cannot be unpacked"))?;
        // One call into a buffer of the segment's length: a bomb has no room, and no window is allocated.
        let length = context
            .decompress(plain, stored)
            .map_err(|_code| fail("its patch cannot be unpacked"))?;
        if length == segment.length as usize && segment.is(plain) {
            Ok(())
        } else {
            Err(fail("its patch makes something else"))
        }
    }
}

/// Turns an error code of Zstandard into an error.
fn zstd_error(code: usize) -> io::Error {
    io::Error::other(zstd::zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests;
