//! The first program of a device with two slots: finds the disk, asks which slot runs and whether that is a trial, makes the
//! root file system vouch for every byte of itself, shows what is kept, and hands over to systemd. It is the whole initramfs
//! but for the kernel's modules.
//!
//! What fails here restarts the device: the firmware then starts the good slot again.

mod data;
mod device;
mod kept;
mod kernel;
mod migrations;
mod modules;
mod reset;
mod root;
mod unkept;
mod watchdog;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent_region::{Kind, Phase, Region};
use agent_update::CommandLine;
use agent_update::boot::Selector;
use agent_update::machine::{self, Cause, Deed, Event};
use nix::sys::reboot::{RebootMode, reboot};

use device::Device;
use watchdog::Watchdog;

/// Where the new root is mounted.
const ROOT: &str = "/sysroot";
/// There as long as the version that runs is on trial.
const TRIAL: &str = "/run/bakelite-trial";
/// Time for a person to read why, in seconds.
const PAUSE: u64 = 10;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        say("this is the first program of a device, and no other process may start it");
        return ExitCode::FAILURE;
    }
    if let Err(error) = start() {
        say(&format!("error: {}", chain(error.as_ref())));
        std::thread::sleep(Duration::from_secs(PAUSE));
    }
    // Whatever is wrong: the other slot may be right.
    let Err(_cannot) = reboot(RebootMode::RB_AUTOBOOT);
    ExitCode::FAILURE
}

/// Starts the device. Comes back only with an error.
fn start() -> Result<(), Failure> {
    kernel::mount_own()?;
    let line = CommandLine::parse(&fs_err::read_to_string("/proc/cmdline")?)?;
    modules::load()?;
    let mut device = Device::find(&line)?;
    let settings = begin(&mut device)?;
    let mut watchdog = device.is_trial.then(watch).flatten();
    if let Err(error) = data::grow(&mut device) {
        // It is as large as it was: that is enough to start.
        say(&format!(
            "the data partition cannot grow: {}",
            chain(error.as_ref())
        ));
    }
    root::mount(&device, &line, Path::new(ROOT))?;
    let shown = data::mount(&device, Path::new(ROOT), settings).and_then(|missing| {
        kernel::enter(Path::new(ROOT))?;
        let mut ping = || watchdog.iter_mut().for_each(Watchdog::ping);
        Ok(missing.run(Path::new("/"), &mut ping))
    });
    match shown {
        Ok(Ok(())) => {}
        Ok(Err(error)) if !device.is_trial => say(&chain(error.as_ref())),
        Ok(Err(error)) | Err(error) => refuse(&mut device, error)?,
    }
    // systemd has as long again until it pings.
    drop((device, watchdog));
    Err(kernel::become_init(&line.init).into())
}

/// Starts the watchdog, if there is one.
fn watch() -> Option<Watchdog> {
    let started = Watchdog::start();
    if let Err(error) = &started {
        say(&format!(
            "nothing restarts a version that hangs now: {error}"
        ));
    }
    started.ok()
}

/// A version on trial that cannot use the settings goes back, and says why.
fn refuse(device: &mut Device, error: Failure) -> Result<(), Failure> {
    if !device.is_trial {
        return Err(error);
    }
    say(&chain(error.as_ref()));
    let mut region = Region::read(&mut device.file)?;
    let why = Event::Failed(chain(error.as_ref()));
    let (deed, _) = note(device, &mut region, why)?;
    obey(device, deed)
}

/// Which copy of the settings is used, and where it comes from when it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    /// Number of the copy that is used.
    used: u32,
    /// Number of the copy that the good slot uses.
    good: u32,
}

/// Notes the start in the agent's region, and does what follows.
fn begin(device: &mut Device) -> Result<Settings, Failure> {
    let mut region = Region::read(&mut device.file)?;
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned();
    let (slot, cause) = (device.slot, device.cause);
    let event = Event::Started { slot, boot, cause };
    let (good, settings) = (region.state().good, region.state().settings);
    let (deed, is_noted) = match note(device, &mut region, event) {
        // The good slot of a card that takes nothing any more: a device that can be reached is better than none.
        Err(error) if slot == good => {
            say(&format!("nothing is noted: {}", chain(error.as_ref())));
            return Ok(Settings {
                used: settings,
                good: settings,
            });
        }
        noted => noted?,
    };
    if cause != Cause::Restart || is_noted {
        let why = match cause {
            Cause::Power => "the power came",
            Cause::Restart => "it was restarted",
            Cause::Crash => "it restarted",
            Cause::Unknown => "the firmware does not say why",
        };
        let text = format!("slot {slot} starts: {why}");
        // It is there for people: nothing is decided by it.
        drop(region.log(&mut device.file, 0, Kind::Start, &text));
    }
    obey(device, deed)?;
    device.is_trial = matches!(region.state().phase, Phase::Trial { .. });
    if device.is_trial {
        // A timer restarts the device unless somebody removes this in time.
        fs_err::write(TRIAL, "")?;
    }
    Ok(Settings {
        used: machine::settings_of(region.state()),
        good: region.state().settings,
    })
}

/// Writes down what an event leads to. Returns what is to be done then, and whether people may want to know of it.
fn note(device: &mut Device, region: &mut Region, event: Event) -> Result<(Deed, bool), Failure> {
    let step = machine::next(region.state(), event)?;
    if !region.is_written() || step.state != *region.state() {
        region.write(&mut device.file, step.state)?;
    }
    if let Some(note) = &step.note {
        say(note);
        region.log(&mut device.file, 0, Kind::Update, note)?;
    }
    Ok((step.deed, step.note.is_some()))
}

/// Does what was decided. What restarts the device is an error.
fn obey(device: &mut Device, deed: Deed) -> Result<(), Failure> {
    match deed {
        Deed::Nothing | Deed::AskOnce(_) | Deed::Unask => Ok(()),
        Deed::PointTo(slot) => {
            Ok(Selector::find(&mut device.file)?.point_to(&mut device.file, slot)?)
        }
        Deed::Restart => Err("going back to the good slot".into()),
        Deed::PointToAndRestart(slot) => {
            Selector::find(&mut device.file)?.point_to(&mut device.file, slot)?;
            Err(format!("going back to slot {slot}").into())
        }
    }
}

/// Tells whoever stands before the device, and the kernel's log.
fn say(text: &str) {
    let line = format!("<5>bakelite: {text}\n");
    // Nothing else could be done about it.
    drop(fs_err::write("/dev/kmsg", line));
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
