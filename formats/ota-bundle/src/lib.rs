//! The update bundle: one version for one family of boards, in segments that are checked one by one. In: images, or bytes of a
//! bundle from anywhere. Out: a bundle, or what of it was vouched for. `SPEC.md` beside this is the format.
//!
//! A [`Bundle<Unverified>`] says nothing but which bytes have to be vouched for. Only a [`Bundle<Verified>`] has segments, and
//! only [`Bundle::verify`] makes one. Never fetches, never writes to a disk, never asks the time.

mod bundle;
pub mod delta;
mod head;
mod manifest;
mod segment;
mod write;

pub use bundle::{Bundle, BundleError, Unverified, Verified};
pub use head::{HEAD_LENGTH, Head};
pub use manifest::{FORMAT, ImageEntry, Kind, Manifest, Verity};
pub use segment::{SEGMENT, Segment, SegmentError, Stored};
pub use write::{Draft, Packed, WriteError, Writer, with_trust};

/// Largest trust section, in bytes. Without a limit, a bundle could fill a device's memory before anything is checked.
pub const MOST_TRUST: u32 = 1 << 20;
/// Largest manifest, in bytes; the same.
pub const MOST_MANIFEST: u32 = 256 << 10;
/// Largest tables, in bytes; the same. It is enough for slots of 50 GiB.
pub const MOST_TABLES: u32 = 2 << 20;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]
mod tests;
