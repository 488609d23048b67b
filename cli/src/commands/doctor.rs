//! `bakelite doctor`

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use image_builder::sandbox::{self, Identity, Network};
use image_builder::worker::Task;

use super::Outcome;
use crate::arguments::Arguments;
use crate::environment;
use crate::ui::Ui;

pub(super) fn run(arguments: &Arguments, ui: &mut Ui) -> Outcome {
    let host = environment::host(arguments)?;
    let kernel = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = kernel
        .split(['.', '-'])
        .map(|n| n.trim().parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let own_binfmt = version >= (6, 7);
    let host_binfmt = Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    let identity = Identity::current();
    let worker = sandbox::run(
        &host,
        Network::None,
        &Task::Remove { paths: vec![] },
        &mut |_| {},
    );
    let rust = host.rust.as_ref().map(|r| {
        r.sysroot
            .join("lib/rustlib/aarch64-unknown-linux-gnu")
            .is_dir()
    });
    let checks = [
        (
            "owners",
            identity.is_ok(),
            match &identity {
                Ok(Identity::Root) => "root".to_owned(),
                Ok(Identity::Subordinate { uids, .. }) => {
                    format!("subordinate ids from {}", uids.0)
                }
                Err(error) => error.to_string(),
            },
        ),
        (
            "namespaces",
            worker.is_ok(),
            worker.as_ref().err().map_or_else(
                || "user, mount, process and network".to_owned(),
                ToString::to_string,
            ),
        ),
        (
            "emulation",
            own_binfmt || host_binfmt || host.architecture == "arm64",
            match (own_binfmt, host_binfmt) {
                (true, _) => format!("its own, on kernel {}", kernel.trim()),
                (false, true) => "the host's registration".to_owned(),
                (false, false) => format!(
                    "kernel {} is older than 6.7: install qemu-user-static",
                    kernel.trim()
                ),
            },
        ),
        (
            "agent",
            rust == Some(true),
            match rust {
                Some(true) => "Rust with the target's library".to_owned(),
                Some(false) => "rustup target add aarch64-unknown-linux-gnu".to_owned(),
                None => "no rustc on the path".to_owned(),
            },
        ),
        ("mirror", true, host.mirrors.base("debian", None)),
        ("cache", true, host.cache.display().to_string()),
    ];
    let mut text = String::new();
    for (name, good, fact) in &checks {
        writeln!(
            text,
            "  {:<4} {name:<12} {fact}",
            if *good { "ok" } else { "no" }
        )
        .expect("strings take everything");
    }
    let value: Vec<_> = checks
        .iter()
        .map(|(name, good, fact)| serde_json::json!({ "check": name, "ok": good, "fact": fact }))
        .collect();
    ui.answer(&text, &value);
    Ok(if checks.iter().all(|(_, good, _)| *good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(crate::command_error::FAILED)
    })
}
