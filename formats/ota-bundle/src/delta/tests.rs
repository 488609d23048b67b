use proptest::prelude::*;

use super::*;
use crate::segment::{self, SEGMENT};

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn segments(image: &[u8]) -> Vec<Segment> {
    let mut place = 0;
    let chunks = image.chunks(SEGMENT as usize);
    let segment = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        let segment = Segment {
            place,
            length,
            id: Sha256Digest::of(bytes),
            offset: place,
            stored: length,
        };
        place += u64::from(length);
        segment
    };
    chunks.map(segment).collect()
}

/// Makes the patches, and all segments out of them; what has none is as it was or stored whole. Returns the file's length.
fn round(old: (&[u8], &[u8]), new: (&[u8], &[u8])) -> u64 {
    let (root, boot) = (segments(new.0), segments(new.1));
    let news = [
        (Kind::Root, new.0, &root[..]),
        (Kind::Boot, new.1, &boot[..]),
    ];
    let mut file = Vec::new();
    let (table, length) = make(&Old::new(old.0, old.1), &news, &mut file).unwrap();
    assert_eq!(length, file.len() as u64);
    let head = DeltaHead::from_bytes(file.first_chunk().unwrap()).unwrap();
    let metadata = usize::try_from(head.metadata()).unwrap();
    let delta = Delta::read(&file[..metadata], table).unwrap();
    let mut number = 0;
    for (kind, image, segments) in news {
        for segment in segments {
            let at = usize::try_from(segment.place).unwrap();
            let expected = &image[at..at + segment.length as usize];
            if let Some(patch) = delta.patch(number) {
                assert!(patch.reference() <= u64::from(MOST_REFERENCE));
                let mut plain = Vec::new();
                patch
                    .unpack(
                        stored(&file, patch),
                        &reference(patch, old),
                        segment,
                        &mut plain,
                    )
                    .unwrap();
                assert!(plain == expected, "{kind:?} {number}");
            }
            number += 1;
        }
    }
    length
}

fn stored<'f>(file: &'f [u8], patch: &Patch) -> &'f [u8] {
    let from = usize::try_from(patch.offset).unwrap();
    &file[from..from + patch.stored as usize]
}

fn reference(patch: &Patch, old: (&[u8], &[u8])) -> Vec<u8> {
    let mut bytes = Vec::new();
    for range in &patch.ranges {
        let image = if range.kind == Kind::Root {
            old.0
        } else {
            old.1
        };
        let from = usize::try_from(range.offset).unwrap();
        bytes.extend(&image[from..from + range.length as usize]);
    }
    bytes
}

#[test]
fn what_moved_costs_next_to_nothing_and_what_changed_costs_what_changed() {
    let root = noise(1, 6 << 20);
    let boot = noise(2, 3 << 20);
    // A file grew near the front by 200 KiB: everything after it lies elsewhere, by whole blocks.
    let mut grown = root[..1 << 20].to_vec();
    grown.extend(noise(3, 200 << 10));
    grown.extend(&root[1 << 20..]);
    let length = round((&root, &boot), (&grown, &boot));
    assert!((200 << 10..230 << 10).contains(&length), "{length}");
    // Two halves changed places, and a file went from the boot slot to the root.
    let mut swapped = root[3 << 20..].to_vec();
    swapped.extend(&root[..3 << 20]);
    swapped.extend(&boot[1 << 20..2 << 20]);
    let length = round((&root, &boot), (&swapped, &boot));
    assert!(length < 64 << 10, "{length}");
    // A few bytes here and there, in the same place.
    let mut touched = root.clone();
    for at in (0..touched.len()).step_by(300_000) {
        touched[at] ^= 1;
    }
    let length = round((&root, &boot), (&touched, &boot));
    assert!(length < 64 << 10, "{length}");
    // Nothing in common: the bundle's own segments are better.
    let length = round((&root, &boot), (&noise(9, 4 << 20), &noise(8, 1 << 20)));
    assert_eq!(length, DELTA_HEAD as u64);
}

#[test]
fn what_was_not_vouched_for_is_not_used_and_damage_is_found() {
    let root = noise(1, 3 << 20);
    let mut new = root.clone();
    new[2_000_000] ^= 1;
    let all = segments(&new);
    let mut file = Vec::new();
    let news = [(Kind::Root, &new[..], &all[..])];
    let (table, _) = make(&Old::new(&root, &[]), &news, &mut file).unwrap();
    let mut again = Vec::new();
    make(&Old::new(&root, &[]), &news, &mut again).unwrap();
    assert_eq!(file, again, "the same bytes each time");
    let head = DeltaHead::from_bytes(file.first_chunk().unwrap()).unwrap();
    let metadata = usize::try_from(head.metadata()).unwrap();
    for bit in 0..metadata * 8 {
        let mut changed = file[..metadata].to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Delta::read(&changed, table).is_err(), "bit {bit}");
    }
    for length in 0..metadata {
        assert!(Delta::read(&file[..length], table).is_err());
    }
    let delta = Delta::read(&file[..metadata], table).unwrap();
    let patch = &delta.patches()[0];
    let (good, reference) = (
        stored(&file, patch).to_vec(),
        reference(patch, (&root, &[])),
    );
    let mut plain = Vec::new();
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let outcome = patch.unpack(&changed, &reference, &all[1], &mut plain);
        assert!(outcome.is_err() || plain == new[1 << 20..2 << 20]);
    }
    assert!(
        patch
            .unpack(
                &good,
                &reference[..reference.len() - 1],
                &all[1],
                &mut plain
            )
            .is_err()
    );
    assert!(patch.unpack(&good, &[], &all[1], &mut plain).is_err());
    // A bomb has no room.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    assert!(patch.unpack(&bomb, &[], &all[1], &mut plain).is_err());
    assert!(plain.capacity() <= 2 * SEGMENT as usize);
}

#[test]
fn tables_that_refer_to_too_much_are_refused() {
    let patch = |segment, ranges: Vec<Range>| Patch {
        segment,
        offset: 0,
        stored: 0,
        ranges,
    };
    let range = |offset, length| Range {
        kind: Kind::Root,
        offset,
        length,
    };
    let read = |patches: &[Patch]| {
        let table = table::write(patches);
        let head = DeltaHead {
            table: u32::try_from(table.len()).unwrap(),
            stored: 0,
        };
        let mut bytes = head.to_bytes().to_vec();
        bytes.extend(&table);
        Delta::read(&bytes, Sha256Digest::of(&table))
    };
    assert!(read(&[patch(0, vec![range(0, MOST_REFERENCE)])]).is_ok());
    for bad in [
        vec![patch(0, vec![range(0, MOST_REFERENCE), range(0, 1)])],
        vec![patch(0, vec![range(u64::MAX, 1)])],
        vec![patch(0, vec![range(0, 1); MOST_RANGES + 1])],
        vec![patch(1, vec![]), patch(1, vec![])],
        vec![patch(2, vec![]), patch(1, vec![])],
    ] {
        assert!(read(&bad).is_err(), "{bad:?}");
    }
    let long = DeltaHead {
        table: MOST_DELTA_TABLE + 1,
        stored: 0,
    };
    assert!(matches!(
        DeltaHead::from_bytes(&long.to_bytes()),
        Err(DeltaError::TooLong { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Whatever was cut, moved and changed: the segments come out.
    #[test]
    fn any_change_comes_out_right(cuts in proptest::collection::vec((0_usize..400, 0_usize..300, any::<bool>()), 0..8), odd in 0_usize..5000) {
        let old = noise(7, (2 << 20) + odd);
        let mut new = old.clone();
        for (at, count, is_noise) in cuts {
            let at = (at * 4096).min(new.len());
            let end = (at + count * 1000).min(new.len());
            let part = if is_noise { noise(at as u64, count * 100) } else { old[..end - at].to_vec() };
            new.splice(at..end, part);
        }
        let _length = round((&old, &[]), (&new, &[]));
    }
}

#[test]
fn segments_of_the_bundle_are_counted_through_all_images() {
    let images = [vec![1_u8; 2_500_000], vec![2; 1_100_000]];
    let all: Vec<Segment> = images.iter().flat_map(|image| segments(image)).collect();
    let tables = segment::to_tables(&all);
    let read = segment::from_tables(&tables, images.iter().map(|image| image.len() as u64), 0);
    assert_eq!(
        read.unwrap().iter().map(Vec::len).collect::<Vec<_>>(),
        [3, 2]
    );
}
