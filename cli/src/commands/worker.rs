//! The hidden side of this program: workers in namespaces of their own.

use std::ffi::OsString;

use image_builder::sandbox::Network;
use image_builder::worker;

/// Runs one half of a worker and returns its exit status.
pub(crate) fn run(half: Option<&OsString>) -> u8 {
    let Ok(executable) = std::env::current_exe() else {
        return 70;
    };
    match half.and_then(|half| half.to_str()) {
        Some("isolated") => worker::run_outer(Network::None, &executable),
        Some("network") => worker::run_outer(Network::Host, &executable),
        Some("inner") => worker::run_inner(),
        _ => 70,
    }
}
