//! A `.deb` from anywhere: opened, its data read to the end, bounded.
#![no_main]

use std::io::{Cursor, Read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut deb) = apt_repository::DebFile::open(Cursor::new(bytes)) {
        if let Ok(data) = deb.data() {
            drop(std::io::copy(&mut data.take(1 << 20), &mut std::io::sink()));
        };
    }
});
