//! Whether a device is healthy: what its owner needs from it, and nothing else.

mod page;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use agent_device::config::Config;
use agent_device::identity;
use nix::sys::stat::{major, minor};

use super::own::is_clock_set;
use crate::daemon::CONFIG;

/// Units that must run.
const UNITS: &[&str] = &["bakelite-agent.service", "bakelite-helper.service"];
/// USB devices that this device is to another computer (Linux: `Documentation/usb/gadget_configfs.rst`).
const GADGETS: &str = "/sys/kernel/config/usb_gadget";
/// Checks of the product's makers: programs that end with 0, in the verified root file system.
const OWN: &str = "/usr/lib/bakelite/health.d";

/// Returns the names of the checks that hold now.
pub(super) fn passing() -> Vec<String> {
    let checks = all();
    let holding = checks.into_iter().filter(|(_, result)| result.is_ok());
    holding.map(|(name, _)| name).collect()
}

/// Runs all checks. Returns each one's name, and why it does not hold.
pub(super) fn all() -> Vec<(String, Result<(), String>)> {
    let mut checks: Vec<(String, Result<(), String>)> = UNITS
        .iter()
        .map(|unit| ((*unit).to_owned(), unit_runs(unit)))
        .collect();
    checks.push(("the network".into(), has_route()));
    checks.push(("the data partition".into(), can_keep()));
    checks.push(("the page".into(), answers()));
    checks.push((
        "the clock".into(),
        held(is_clock_set(), "nobody has set it"),
    ));
    checks.push((
        "the USB gadget".into(),
        held(is_plugged(), "no keyboard and no drive is at any USB port"),
    ));
    let captures = agent_video::source::find(None).is_some();
    checks.push(("the capture device".into(), held(captures, "there is none")));
    for entry in fs_err::read_dir(OWN).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        checks.push((name, ends_well(&entry.path())));
    }
    checks
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fixed program with fixed arguments, and no shell"
)]
fn unit_runs(unit: &str) -> Result<(), String> {
    let output = Command::new("/usr/bin/systemctl")
        .args(["is-active", unit])
        .output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "it is {}",
        String::from_utf8_lossy(&output.stdout).trim()
    ))
}

/// The default route, by either protocol (proc(5), `/proc/net/route` and `/proc/net/ipv6_route`).
fn has_route() -> Result<(), String> {
    let four = fs_err::read_to_string("/proc/net/route").unwrap_or_default();
    let six = fs_err::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let is_default = four
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some("00000000"));
    let zero = "0".repeat(32);
    let is_default_six = six.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&zero.as_str())
            && words.get(1) == Some(&"00")
            && words.last() != Some(&"lo")
    });
    if is_default || is_default_six {
        Ok(())
    } else {
        Err("there is no way out of the local network".into())
    }
}

fn can_keep() -> Result<(), String> {
    let file = Path::new("/data/health");
    let written =
        fs_err::write(file, "healthy").and_then(|()| fs_err::File::open(file)?.sync_all());
    written
        .and_then(|()| fs_err::remove_file(file))
        .map_err(|error| error.to_string())
}

fn answers() -> Result<(), String> {
    let config = Config::load(Path::new(CONFIG)).map_err(|error| error.to_string())?;
    let certificate = identity::certificate(&config.state).map_err(|error| error.to_string())?;
    page::answers(config.listen, certificate)
}

/// Whether a gadget is at a controller; whether a computer is at the other end of the cable is no matter of the version.
fn is_plugged() -> bool {
    let gadgets = fs_err::read_dir(GADGETS).into_iter().flatten().flatten();
    gadgets
        .filter_map(|gadget| fs_err::read_to_string(gadget.path().join("UDC")).ok())
        .any(|controller| !controller.trim().is_empty())
}

fn held(holds: bool, else_why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(else_why.into()) }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of the verified root file system"
)]
fn ends_well(program: &Path) -> Result<(), String> {
    let output = Command::new(program)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(said
        .lines()
        .next_back()
        .map_or_else(|| output.status.to_string(), str::to_owned))
}

/// The root file system, which is read to its end once: what is damaged shows before the version is kept, not on the day when
/// somebody needs it. The kernel gives up where a block is not what it was signed as.
pub(super) struct Whole(Arc<Mutex<Option<Result<(), String>>>>);

impl Whole {
    /// Begins to read, in the background.
    pub(super) fn begin() -> Self {
        let result = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&result);
        let read = move || {
            let read = read_root().map_err(|error| error.to_string());
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        };
        if let Err(error) = std::thread::Builder::new().name("root".into()).spawn(read) {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(Err(error.to_string()));
        }
        Self(result)
    }

    /// Returns how it went, once it is over.
    pub(super) fn result(&self) -> Option<Result<(), String>> {
        let result = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        result.clone()
    }
}

fn read_root() -> std::io::Result<()> {
    let device = fs_err::metadata("/")?.dev();
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let link = fs_err::read_link(link)?;
    let name = link.file_name().unwrap_or_default();
    let file = fs_err::File::open(Path::new("/dev").join(name))?;
    let mut file = std::io::BufReader::with_capacity(1 << 20, file);
    std::io::copy(&mut file, &mut std::io::sink()).map(drop)
}
