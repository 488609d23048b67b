//! Finds what of an older release a segment is like, and packs what differs.
//!
//! File systems move files by whole blocks, so blocks of 4 KiB are looked up by their digest: where most of a segment's blocks
//! were, the rest is like its neighbours there. What is referred to is put together of a few such places, so that a file that
//! moved costs next to nothing and a device needs no more than 4 MiB of memory for it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use content_digest::Sha256Digest;
use zstd::zstd_safe::{CCtx, CParameter};

use super::{DELTA_HEAD, DeltaHead, MOST_RANGES, MOST_REFERENCE, Patch, Range, table, zstd_error};
use crate::manifest::Kind;
use crate::segment::Segment;

/// Blocks of the file system and of its hash tree.
const BLOCK: usize = 4096;
/// Places are chosen in such pieces.
const PIECE: u64 = 64 << 10;
/// Level of Zstandard: a patch is made once and fetched by many.
const LEVEL: i32 = 19;
/// Window that reaches from the end of a segment to the first byte that it refers to.
const WINDOW_LOG: u32 = 23;
/// A block that occurs more often says nothing about a place.
const MOST_PLACES: usize = 4;

/// An older release, with its blocks in order.
#[derive(Debug)]
pub struct Old<'i> {
    images: [&'i [u8]; 2],
    blocks: HashMap<u128, Vec<(Kind, u32)>>,
}

impl<'i> Old<'i> {
    /// Takes root and boot image.
    pub fn new(root: &'i [u8], boot: &'i [u8]) -> Self {
        let mut blocks: HashMap<u128, Vec<(Kind, u32)>> = HashMap::new();
        for (kind, image) in [(Kind::Root, root), (Kind::Boot, boot)] {
            for (number, block) in image.chunks_exact(BLOCK).enumerate() {
                let places = blocks.entry(key(block)).or_default();
                if places.len() <= MOST_PLACES {
                    places.push((kind, u32::try_from(number).expect("less than 16 TiB")));
                }
            }
        }
        Self {
            images: [root, boot],
            blocks,
        }
    }

    const fn image(&self, kind: Kind) -> &'i [u8] {
        match kind {
            Kind::Root => self.images[0],
            Kind::Boot => self.images[1],
        }
    }

    /// Chooses what a segment of an image refers to. `near` is where the last block was that was found, and is moved along.
    fn ranges(&self, kind: Kind, segment: &[u8], place: u64, near: &mut (Kind, u64)) -> Vec<Range> {
        let mut votes: BTreeMap<(bool, u64), u32> = BTreeMap::new();
        let piece = |kind: Kind, at: u64| (kind == Kind::Boot, at / PIECE);
        let mut found = 0;
        for block in segment.chunks_exact(BLOCK) {
            let Some(places) = self.blocks.get(&key(block)) else {
                continue;
            };
            if places.len() > MOST_PLACES {
                continue;
            }
            found += 1;
            for (kind, number) in places {
                let at = u64::from(*number) * BLOCK as u64;
                *votes.entry(piece(*kind, at)).or_default() += 1;
                *near = (*kind, at);
            }
        }
        // What was not found is like its neighbours, or like what lay in the same place.
        let budget = u64::from(MOST_REFERENCE) / PIECE;
        let mut chosen: BTreeMap<(bool, u64), u32> = BTreeMap::new();
        let mut best: Vec<_> = votes.into_iter().collect();
        best.sort_by_key(|(at, votes)| (std::cmp::Reverse(*votes), *at));
        for ((is_boot, at), votes) in best {
            for at in [at, at.saturating_sub(1), at + 1] {
                if (chosen.len() as u64) < budget {
                    chosen.entry((is_boot, at)).or_insert(votes);
                }
            }
        }
        let is_all_found = found * BLOCK + BLOCK > segment.len();
        for (kind, middle) in [*near, (kind, place)] {
            let mut distance = 0;
            while !is_all_found && (chosen.len() as u64) < budget && distance < budget {
                let (is_boot, at) = piece(kind, middle);
                for at in [at.checked_sub(distance), Some(at + distance)]
                    .into_iter()
                    .flatten()
                {
                    if (chosen.len() as u64) < budget {
                        chosen.entry((is_boot, at)).or_insert(0);
                    }
                }
                distance += 1;
                if kind == near.0 && distance > budget / 4 {
                    break;
                }
            }
        }
        self.merged(chosen)
    }

    /// Puts pieces together that follow each other; of too many places the best are kept.
    fn merged(&self, chosen: BTreeMap<(bool, u64), u32>) -> Vec<Range> {
        let mut ranges: Vec<(u32, Range)> = Vec::new();
        for ((is_boot, at), votes) in chosen {
            let kind = if is_boot { Kind::Boot } else { Kind::Root };
            let length = self.image(kind).len() as u64;
            let (from, to) = ((at * PIECE).min(length), ((at + 1) * PIECE).min(length));
            let count = u32::try_from(to - from).expect("at most a piece");
            if count == 0 {
                continue;
            }
            match ranges.last_mut() {
                Some((sum, last))
                    if last.kind == kind && last.offset + u64::from(last.length) == from =>
                {
                    last.length += count;
                    *sum += votes;
                }
                _ => ranges.push((
                    votes,
                    Range {
                        kind,
                        offset: from,
                        length: count,
                    },
                )),
            }
        }
        ranges.sort_by_key(|(votes, range)| (std::cmp::Reverse(*votes), range.offset));
        ranges.truncate(MOST_RANGES);
        ranges.sort_by_key(|(_, range)| (range.kind, range.offset));
        ranges.into_iter().map(|(_, range)| range).collect()
    }
}

fn key(block: &[u8]) -> u128 {
    let digest = Sha256Digest::of(block);
    u128::from_le_bytes(*digest.as_bytes().first_chunk().expect("sixteen bytes"))
}

/// Writes the patches that are smaller than the segments as they are stored in the bundle. `news` are the new release's images
/// with their segments. Returns the table's digest, and the length of the file.
pub fn make(
    old: &Old<'_>,
    news: &[(Kind, &[u8], &[Segment])],
    file: &mut impl Write,
) -> io::Result<(Sha256Digest, u64)> {
    let (mut patches, mut stored): (Vec<Patch>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut number = 0;
    for (kind, image, segments) in news {
        let mut near = (*kind, 0);
        for segment in *segments {
            let from = usize::try_from(segment.place).expect("in memory");
            let plain = &image[from..from + segment.length as usize];
            // What lies in the same place is found there by the device itself.
            let is_there = old.image(*kind).get(from..from + plain.len()) == Some(plain);
            if !is_there && segment.stored > 0 {
                let ranges = old.ranges(*kind, plain, segment.place, &mut near);
                let packed = pack(old, &ranges, plain)?;
                // Fetching it must be worth another question.
                if packed.len() * 20 < segment.stored as usize * 19 {
                    patches.push(Patch {
                        segment: number,
                        offset: 0,
                        stored: u32::try_from(packed.len()).expect("less than a segment"),
                        ranges,
                    });
                    stored.extend(packed);
                }
            } else {
                near = (*kind, segment.place);
            }
            number += 1;
        }
    }
    let table = table::write(&patches);
    let head = DeltaHead {
        table: u32::try_from(table.len()).map_err(io::Error::other)?,
        stored: stored.len() as u64,
    };
    for part in [&head.to_bytes()[..], &table, &stored] {
        file.write_all(part)?;
    }
    let length = (DELTA_HEAD + table.len() + stored.len()) as u64;
    Ok((Sha256Digest::of(&table), length))
}

fn pack(old: &Old<'_>, ranges: &[Range], plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut reference = Vec::new();
    for range in ranges {
        let from = usize::try_from(range.offset).expect("in memory");
        reference.extend(&old.image(range.kind)[from..from + range.length as usize]);
    }
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::EnableLongDistanceMatching(true),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(zstd_error)?;
    }
    context.ref_prefix(&reference).map_err(zstd_error)?;
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut packed, plain).map_err(zstd_error)?;
    Ok(packed)
}
