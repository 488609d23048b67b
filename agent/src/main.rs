//! `bakelite-agent`: the daemon on the device.

use std::process::ExitCode;

fn main() -> ExitCode {
    bakelite_agent::daemon::main()
}
