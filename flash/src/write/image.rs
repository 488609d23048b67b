//! The image as it came: its digests, taken once for all disks, and its first blocks, which every disk gets
//! last.

use std::io::{self, Write as _};

use block_map::{BlockMap, Range};
use content_digest::HashingWriter;

use super::chunk::Chunk;
use super::target::Plan;
use crate::memory::Aligned;

/// What is held back: partition table, and all that a firmware looks at first.
pub(crate) const HEAD: u64 = 1 << 20;
/// A range is cut here, so that a difference is told with its place, and several are read back at once. Where the
/// map is what the image must match, its ranges are as it has them.
const LONGEST: u64 = 64 << 20;

/// An image that came whole.
#[derive(Debug)]
pub struct Image {
    size: u64,
    head: Aligned,
    ranges: Vec<Range>,
}

impl Image {
    /// Returns its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns its first blocks; what is unmapped or after its end is zero.
    pub(crate) fn head(&self) -> &[u8] {
        self.head.bytes()
    }

    /// Returns what was written.
    pub(crate) fn ranges(&self) -> &[Range] {
        &self.ranges
    }
}

/// Takes the digests while the image comes.
pub(crate) struct Digester<'p> {
    plan: &'p Plan,
    image: Image,
    current: Option<(u64, u64, HashingWriter<io::Sink>)>,
}

impl<'p> Digester<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        let image = Image {
            size: 0,
            head: Aligned::new(usize::try_from(HEAD).expect("a megabyte")),
            ranges: Vec::new(),
        };
        Self {
            plan,
            image,
            current: None,
        }
    }

    /// Takes the next piece. An image that is not the one of its map is noticed at the end of the range.
    pub(crate) fn take(&mut self, chunk: &Chunk) -> Result<(), String> {
        let end = chunk.offset + chunk.bytes().len() as u64;
        self.image.size = end;
        for (start, stop, closes) in parts(self.plan.map.as_deref(), chunk.offset, end) {
            let place = |at: u64| usize::try_from(at - chunk.offset).expect("within a piece");
            let bytes = &chunk.bytes()[place(start)..place(stop)];
            if start < HEAD {
                let at = usize::try_from(start).expect("within the head");
                let length = bytes.len().min(self.image.head.bytes().len() - at);
                self.image.head.bytes_mut()[at..at + length].copy_from_slice(&bytes[..length]);
            }
            if !self.plan.hashes() {
                continue;
            }
            let fresh = || (start, 0, HashingWriter::new(io::sink()));
            let (_, length, hasher) = self.current.get_or_insert_with(fresh);
            hasher.write_all(bytes).expect("a sink takes everything");
            *length += bytes.len() as u64;
            let is_long = *length >= LONGEST;
            if closes || (is_long && self.map_to_match().is_none()) {
                self.close()?;
            }
        }
        Ok(())
    }

    /// Returns the map, if the image may be another than that of the map.
    fn map_to_match(&self) -> Option<&BlockMap> {
        self.plan.map.as_deref().filter(|_| !self.plan.is_checked)
    }

    fn close(&mut self) -> Result<(), String> {
        let Some((start, length, hasher)) = self.current.take() else {
            return Ok(());
        };
        let (_, sha256, _) = hasher.finish();
        let range = Range {
            start,
            length,
            sha256,
        };
        let expected = self.map_to_match();
        let expected = expected.and_then(|map| map.ranges.get(self.image.ranges.len()));
        if expected.is_some_and(|expected| *expected != range) {
            return Err(format!(
                "the image is not the one of its block map: they differ between bytes {start} and {}",
                start + length
            ));
        }
        self.image.ranges.push(range);
        Ok(())
    }

    /// Ends it: all must have come.
    pub(crate) fn finish(mut self) -> Result<Image, String> {
        self.close()?;
        let end = self.image.size;
        let expected = self.plan.map.as_ref().map(|map| map.image_size);
        match expected.or(self.plan.size).filter(|size| *size != end) {
            Some(size) => Err(format!(
                "the image ends at byte {end}, and {size} were expected: it was cut, or is another"
            )),
            None if end == 0 => Err("the image is empty".into()),
            None => Ok(self.image),
        }
    }
}

/// Returns the parts of a piece that hold anything, and whether a range ends with each.
pub(crate) fn parts(map: Option<&BlockMap>, from: u64, to: u64) -> Vec<(u64, u64, bool)> {
    let Some(map) = map else {
        return vec![(from, to, false)];
    };
    let is_before = |range: &Range| range.start + range.length <= from;
    let first = map.ranges.partition_point(is_before);
    let ranges = map.ranges[first..].iter();
    let within = ranges.take_while(|range| range.start < to);
    let part = |range: &Range| {
        let end = range.start + range.length;
        (range.start.max(from), end.min(to), end <= to)
    };
    within.map(part).collect()
}
