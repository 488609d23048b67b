//! An image's first bytes, as the firmware model reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(boot) = image_builder::firmware::BootPartition::read(&mut std::io::Cursor::new(bytes)) {
        drop(image_builder::firmware::check(&boot, &["pi4".to_owned()]));
    }
});
