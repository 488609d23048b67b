//! Answers of a fleet server: they are read or refused, and what is read stays within its limits.
#![no_main]

use agent_update::fleet::{Method, Server, look};
use libfuzzer_sys::fuzz_target;

/// Answers in turn, each up to the next byte that no text has.
struct Answers<'d>(std::slice::Split<'d, u8, fn(&u8) -> bool>);

impl Server for Answers<'_> {
    fn send(&mut self, _: Method, path: &str, _: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        assert!(!path.starts_with("http"), "it would leave its place: {path}");
        Ok(self.0.next().map(<[u8]>::to_vec))
    }
}

fuzz_target!(|data: &[u8]| {
    let base = "https://fleet.example/DEFAULT/controller/v1/4711/";
    let mut answers = Answers(data.split(|byte| *byte == 0xff));
    let Ok(looked) = look(&mut answers, base, &[]) else {
        return;
    };
    assert!((30..=86_400).contains(&looked.sleep.as_secs()));
    let ids = looked.cancelled.iter().chain(looked.order.iter().map(|order| &order.action));
    for id in ids {
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
});
