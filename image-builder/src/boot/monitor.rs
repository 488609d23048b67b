//! Why the emulator ended, by its own words: the machine protocol of QEMU (docs/interop/qmp-spec.rst).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Name of the socket.
pub(super) const SOCKET: &str = "monitor";
/// How long the emulator may take to open it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens until the emulator ends.
#[derive(Debug)]
pub(super) struct Monitor(Option<JoinHandle<Option<String>>>);

impl Monitor {
    /// Begins to listen. The socket may not be there yet.
    pub(super) fn listen(folder: &Path) -> std::io::Result<Self> {
        // By its folder's descriptor: paths of sockets are at most 108 bytes long.
        let folder = fs_err::File::open(folder)?;
        let thread = thread::Builder::new()
            .name("monitor".into())
            .spawn(move || {
                let path = format!("/proc/self/fd/{}/{SOCKET}", folder.file().as_raw_fd());
                let begun = Instant::now();
                let stream = loop {
                    match UnixStream::connect(&path) {
                        Ok(stream) => break stream,
                        Err(_) if begun.elapsed() < PATIENCE => {
                            thread::sleep(Duration::from_millis(20));
                        }
                        Err(_) => return None,
                    }
                };
                reason(stream)
            })?;
        Ok(Self(Some(thread)))
    }

    /// Listens to nothing.
    pub(super) const fn idle() -> Self {
        Self(None)
    }

    /// Returns whether the machine restarted itself, once it has ended.
    pub(super) fn was_restart(self) -> bool {
        self.0
            .and_then(|thread| thread.join().ok().flatten())
            .as_deref()
            == Some("guest-reset")
    }
}

fn reason(mut stream: UnixStream) -> Option<String> {
    stream
        .write_all(b"{\"execute\":\"qmp_capabilities\"}\n")
        .ok()?;
    let mut found = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if value["event"] == "SHUTDOWN" {
            found = value["data"]["reason"].as_str().map(str::to_owned);
        }
    }
    found
}
