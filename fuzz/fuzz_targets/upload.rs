//! Content-Range of uploads, and names of images.
#![no_main]

use agent_helper::ImageName;
use agent_media::range::Part;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(part) = text.parse::<Part>() {
        assert!(part.length > 0 && part.first.checked_add(part.length).is_some_and(|end| end <= part.size));
    }
    if let Ok(name) = text.parse::<ImageName>() {
        assert_eq!(std::path::Path::new(name.as_str()).components().count(), 1);
    }
});
