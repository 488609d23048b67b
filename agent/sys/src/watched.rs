//! Files whose readiness the runtime waits for.

use std::fs::File;
use std::io;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

/// Registers a file of a device, pipe or socket with the runtime. It must have been opened
/// non-blocking; a regular file is refused by the kernel (EPERM).
pub fn watch(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: `File` owns its descriptor and gives the same one for all its life; `AsyncFd` owns the
    // file, so the descriptor stays open until it is deregistered.
    unsafe { AsyncFd::register(file) }.map_err(io::Error::from)
}

/// Returns the monotonic clock, by which the kernel stamps frames.
pub fn monotonic() -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(Duration::ZERO, Duration::from)
}
