//! Packets and offers of browsers.
#![no_main]

use std::sync::Arc;

use agent_video::hub::Hub;
use agent_webrtc::{Exchange, stun};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(name) = stun::receiver(bytes) {
        assert!(!name.contains(':') && name.len() < bytes.len());
    }
    let Ok(offer) = std::str::from_utf8(bytes) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let exchange = Exchange::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let units = Arc::new(Hub::default()).watch_units();
        let _answer = exchange.answer(offer, "127.0.0.1:1".parse().unwrap(), units);
    });
});
