//! WebSocket messages of a page and of kvmd clients, text and binary.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    drop(serde_json::from_str::<agent_api::live::message::FromViewer>(&text));
    for event in [
        agent_api::pikvm::socket::text_event(&text),
        agent_api::pikvm::socket::binary_event(bytes),
    ] {
        if let Some(agent_api::pikvm::socket::Event::MoveTo(x, y)) = event {
            assert!(x <= 0x7fff && y <= 0x7fff);
        }
    }
});
