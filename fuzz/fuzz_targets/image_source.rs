//! A compressed image from anywhere, looked into for its settings and unpacked.
#![no_main]

use std::io::Read as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a temporary file");
    let Ok(source) = flash::Source::of_file(file.path(), 2) else {
        return;
    };
    drop(flash::settings::Place::find(&source));
    let mut all = Vec::new();
    let unpacked = source.open().and_then(|unpacked| unpacked.take(64 << 20).read_to_end(&mut all));
    // Zstandard's own reader, one frame after the other, is the judge.
    if source.compression() == flash::source::Compression::Zstd {
        let mut expected = Vec::new();
        let judge = zstd::Decoder::new(bytes).and_then(|judge| judge.take(64 << 20).read_to_end(&mut expected));
        if let (Ok(_), Ok(_)) = (&unpacked, &judge) {
            assert!(all == expected, "unpacked otherwise");
        } else {
            assert!(unpacked.is_err() == judge.is_err() || all.len() == 64 << 20 || expected.len() == 64 << 20);
        }
    }
});
