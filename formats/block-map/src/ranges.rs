//! Ranges of an image: joined to whole blocks, and hashed while the image comes by.

use content_digest::{HashingWriter, Sha256Digest};

use crate::BLOCK;

/// Widens byte ranges to whole blocks and joins those that touch.
pub fn whole_blocks(ranges: &[(u64, u64)], size: u64) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    for (at, length) in sorted.into_iter().filter(|(_, length)| *length > 0) {
        let start = at - at % BLOCK;
        let end = (at + length).next_multiple_of(BLOCK).min(size);
        match joined.last_mut() {
            Some((known, length)) if *known + *length >= start => {
                *length = (*length).max(end - *known);
            }
            _ => joined.push((start, end - start)),
        }
    }
    joined
}

/// Hashes ranges of a stream that comes in chunks.
#[derive(Debug)]
pub struct RangeHasher<'r> {
    ranges: &'r [(u64, u64)],
    position: u64,
    current: Option<HashingWriter<std::io::Sink>>,
    digests: Vec<Sha256Digest>,
}

impl<'r> RangeHasher<'r> {
    /// Starts at the beginning of the stream. Ranges must rise and not overlap.
    pub fn new(ranges: &'r [(u64, u64)]) -> Self {
        Self {
            ranges,
            position: 0,
            current: None,
            digests: Vec::new(),
        }
    }

    /// Takes the next chunk.
    pub fn update(&mut self, chunk: &[u8]) {
        use std::io::Write as _;
        let end = self.position + chunk.len() as u64;
        while let Some((start, length)) = self.ranges.get(self.digests.len()).copied() {
            let stop = start + length;
            if start >= end {
                break;
            }
            let from =
                usize::try_from(start.max(self.position) - self.position).expect("within a chunk");
            let to = usize::try_from(stop.min(end) - self.position).expect("within a chunk");
            let hasher = self
                .current
                .get_or_insert_with(|| HashingWriter::new(std::io::sink()));
            hasher
                .write_all(&chunk[from..to])
                .expect("a sink takes everything");
            if stop > end {
                break;
            }
            let (_, digest, _) = self.current.take().expect("set above").finish();
            self.digests.push(digest);
        }
        self.position = end;
    }

    /// Returns the digest of each range.
    pub fn finish(self) -> Vec<Sha256Digest> {
        self.digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_become_whole_blocks_and_join() {
        assert_eq!(
            whole_blocks(&[(4000, 200), (0, 1), (12288, 1), (20480, 4096)], 1 << 20),
            [(0, 8192), (12288, 4096), (20480, 4096)]
        );
        assert_eq!(whole_blocks(&[(4096, 5000)], 9000), [(4096, 4904)]);
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_give_the_digests_of_the_ranges(
            bytes in proptest::collection::vec(any::<u8>(), 1..5000),
            cuts in proptest::collection::vec(1usize..700, 1..20),
            gaps in proptest::collection::vec((0u64..300, 1u64..600), 0..8),
        ) {
            let mut ranges = Vec::new();
            let mut at = 0;
            for (gap, length) in gaps {
                if at + gap + length > bytes.len() as u64 { break; }
                ranges.push((at + gap, length));
                at += gap + length;
            }
            let mut hasher = RangeHasher::new(&ranges);
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                hasher.update(chunk);
                rest = after;
            }
            let whole = |(at, length): &(u64, u64)| Sha256Digest::of(&bytes[usize::try_from(*at).unwrap()..usize::try_from(at + length).unwrap()]);
            prop_assert_eq!(hasher.finish(), ranges.iter().map(whole).collect::<Vec<_>>());
        }
    }
}
