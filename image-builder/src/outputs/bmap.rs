//! The block map (bmap 2.0, as bmaptool reads it): which blocks of an image hold anything, with a
//! digest for each range.

use std::fmt::Write as _;

use content_digest::{HashingWriter, Sha256Digest};

/// Bytes in a block of the map.
pub const BLOCK: u64 = 4096;

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

/// Writes the map. `ranges` are whole blocks, `digests` theirs.
pub fn write(image_size: u64, ranges: &[(u64, u64)], digests: &[Sha256Digest]) -> String {
    let mapped: u64 = ranges
        .iter()
        .map(|(_, length)| length.div_ceil(BLOCK))
        .sum();
    let unknown = "0".repeat(64);
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {image_size} </ImageSize>\n    \
         <BlockSize> {BLOCK} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
         <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
         <BmapFileChecksum> {unknown} </BmapFileChecksum>\n    <BlockMap>\n",
        image_size.div_ceil(BLOCK)
    );
    for ((start, length), digest) in ranges.iter().zip(digests) {
        let (first, last) = (start / BLOCK, (start + length).div_ceil(BLOCK) - 1);
        let blocks = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        writeln!(
            text,
            "        <Range chksum=\"{digest}\"> {blocks} </Range>"
        )
        .expect("strings take everything");
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    // The file's own digest is taken while the field holds zeros.
    let digest = Sha256Digest::of(&text);
    text.replacen(&unknown, &digest.to_string(), 1)
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
