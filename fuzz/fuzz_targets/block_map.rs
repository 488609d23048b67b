//! A block map as anybody may write it.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(map) = block_map::BlockMap::read(text) {
        let mut end = 0;
        for range in &map.ranges {
            assert!(range.start >= end && range.length > 0, "ranges rise");
            end = range.start + range.length;
        }
        assert!(end <= map.image_size, "no range is behind the image");
    }
});
