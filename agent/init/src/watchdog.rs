//! The board's watchdog, for a version on trial: what hangs before systemd pings it is restarted, and goes back. A version that was
//! kept would only start again, so it is given the time that it wants, to mend a large disk for example.

use std::fs::File;
use std::io::{self, Write as _};

use crate::kernel;

const FILE: &str = "/dev/watchdog0";
/// Seconds between two pings: mending the data partition, the longest migration, or systemd's start must fit.
const LONGEST: i32 = 120;

/// A watchdog that runs, and goes on running when this is dropped: systemd takes it over.
#[derive(Debug)]
pub(crate) struct Watchdog(File);

impl Watchdog {
    /// Starts it. From here on it wants to be pinged.
    pub(crate) fn start() -> io::Result<Self> {
        let mut file = File::options().write(true).open(FILE)?;
        let set = kernel::set_watchdog(&file, LONGEST);
        if set.is_err() {
            // One of a few seconds would restart what is only slow.
            file.write_all(b"V")?;
        }
        set.map(|()| Self(file))
    }

    /// Says that a step was done. Any byte does, but `V` stops it (Linux, Documentation/watchdog/watchdog-api.rst).
    pub(crate) fn ping(&mut self) {
        // It then restarts the device, which is what it is for.
        drop(self.0.write_all(&[0]));
    }
}
