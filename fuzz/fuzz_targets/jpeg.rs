//! JPEG frames as capture dongles send them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = agent_video::jpeg::check(bytes) {
        let whole = frame.to_whole();
        let again = agent_video::jpeg::check(&whole).expect("what was made whole is whole");
        assert!(again.is_whole());
        assert_eq!((again.width, again.height), (frame.width, frame.height));
    }
});
