//! A manufacturing log as anybody may hand it in.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    for line in flash_record::lines(text).flatten() {
        let written = flash_record::write::<()>(&line.record, None).expect("nothing is signed");
        let again = flash_record::lines(&written).next().expect("a line").expect("a record");
        // Numbers that are none are written as null, which is refused: none comes from JSON.
        assert_eq!(again.record, line.record);
    }
});
