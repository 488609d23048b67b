//! What the process without privileges answers: never more than was asked for.
#![no_main]

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use agent_fetch::channel::{Answer, Ask};
use agent_fetch::wire::Remote;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok((near, mut far)) = UnixStream::pair() else {
        return;
    };
    // What a socket takes without anybody reading.
    let data = &data[..data.len().min(32 << 10)];
    if far.write_all(data).is_err() || far.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let Ok(mut remote) = Remote::new(near, "https://updates.example/stable/", None) else {
        return;
    };
    for part in [None, Some((5, 16))] {
        let what = Ask {
            path: "metadata/timestamp.json",
            part,
            most: 64,
            etag: None,
        };
        if let Ok(Answer::Bytes(bytes, _)) = remote.ask(&what) {
            assert!(bytes.len() <= 64 && part.is_none_or(|_| bytes.len() == 16));
        }
    }
});
