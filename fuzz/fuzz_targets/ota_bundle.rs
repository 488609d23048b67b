//! What lies before a bundle's segments, from anybody, and a segment's stored bytes.
#![no_main]

use content_digest::Sha256Digest;
use ota_bundle::{Bundle, Head, Segment};

libfuzzer_sys::fuzz_target!(|input: (bool, u32, Vec<u8>)| {
    let (is_headed, length, mut bytes) = input;
    if is_headed && bytes.len() > 16 {
        // Past the first check, as an attacker would.
        let manifest = u32::try_from(bytes.len() / 2).unwrap_or(0);
        let tables = u32::try_from(bytes.len()).unwrap_or(0) - manifest;
        let head = Head { trust: 0, manifest, tables, segments: u64::from(length) };
        bytes.splice(0..0, head.to_bytes());
    }
    if let Ok(bundle) = Bundle::read(&bytes) {
        // As if somebody had vouched for it: nothing may go wrong even then.
        let vouched = Sha256Digest::of(bundle.manifest_bytes());
        drop(bundle.verify(vouched));
    }
    let length = length % (1 << 20) + 1;
    let stored = u32::try_from(bytes.len()).unwrap_or(0);
    if stored <= length {
        let segment = Segment { place: 0, length, id: Sha256Digest::of(&bytes), offset: 0, stored };
        let mut plain = Vec::new();
        if segment.unpack(&bytes, &mut plain).is_ok() {
            assert_eq!(plain.len(), length as usize);
        }
        assert!(plain.len() <= length as usize + 1);
    }
});
