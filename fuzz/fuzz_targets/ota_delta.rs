//! A delta from anybody, as if its table had been vouched for, and a patch's stored bytes.
#![no_main]

use content_digest::Sha256Digest;
use ota_bundle::Segment;
use ota_bundle::delta::{DELTA_HEAD, Delta, DeltaHead, MOST_RANGES, MOST_REFERENCE, Patch};

libfuzzer_sys::fuzz_target!(|input: (u64, u32, Vec<u8>, Vec<u8>)| {
    let (stored, length, table, reference) = input;
    let Ok(count) = u32::try_from(table.len()) else { return };
    let mut bytes = DeltaHead { table: count, stored }.to_bytes().to_vec();
    bytes.extend(&table);
    if let Ok(delta) = Delta::read(&bytes, Sha256Digest::of(&table)) {
        let mut end = (DELTA_HEAD + table.len()) as u64;
        for patch in delta.patches() {
            assert!(patch.ranges.len() <= MOST_RANGES && patch.reference() <= u64::from(MOST_REFERENCE));
            assert_eq!(patch.offset, end);
            end += u64::from(patch.stored);
            assert_eq!(delta.patch(patch.segment), Some(patch));
        }
    }
    let length = length % (1 << 20) + 1;
    let segment = Segment { place: 0, length, id: Sha256Digest::of(&table), offset: 0, stored: 0 };
    let patch = Patch { segment: 0, offset: 0, stored: count, ranges: Vec::new() };
    let mut plain = Vec::new();
    drop(patch.unpack(&table, &reference, &segment, &mut plain));
    assert!(plain.len() <= length as usize);
});
