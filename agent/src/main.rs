//! `bakelite-agent`: the daemon on the device, and with `helper` its privileged half.

use std::process::ExitCode;

fn main() -> ExitCode {
    bakelite_agent::run::main()
}
