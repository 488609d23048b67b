//! EDID as people upload it and devices give it.
#![no_main]

use agent_video::edid::Edid;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop(Edid::from_hexadecimal(&String::from_utf8_lossy(bytes)));
    // Checksums made right, so that what lies behind them is reached.
    let mut whole = bytes.to_vec();
    for block in whole.chunks_exact_mut(128) {
        let sum = block[..127].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        block[127] = sum.wrapping_neg();
    }
    if let Ok(edid) = Edid::read(whole) {
        assert!(edid.facts().rate.is_finite());
    }
});
