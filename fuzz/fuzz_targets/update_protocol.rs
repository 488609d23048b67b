//! What the updater is asked over its socket, and what it answers to a device's own and to other computers.
#![no_main]

use agent_update::protocol::{Answer, Request, line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let again: Request = serde_json::from_slice(&line(&request)).expect("it reads what it writes");
        assert_eq!(again, request);
        if let Request::Token { token } = request
            && let Ok(Some(header)) = token.header()
        {
            assert!(header.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "a header has one line");
        }
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(data) {
        let again: Answer = serde_json::from_slice(&line(&answer)).expect("it reads what it writes");
        assert_eq!(again, answer);
    }
});
