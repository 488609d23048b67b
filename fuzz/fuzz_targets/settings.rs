//! Settings of a device as anybody may write them onto a card.
#![no_main]

use device_settings::DeviceSettings;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(settings) = DeviceSettings::read(text) {
        let again = settings.to_text().expect("what was read can be written");
        let again = DeviceSettings::read(&again).expect("and read again");
        assert_eq!(again, settings);
    }
});
