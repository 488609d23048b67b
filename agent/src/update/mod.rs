//! Updates on the device: installs a bundle into the slot that does not run, and watches over a slot on trial. It runs as root,
//! beside the daemon and without its network.

mod firmware;
mod health;
mod install;
mod trust;
mod watch;

use std::fs::File;
use std::path::Path;

use agent_region::{Kind, Slot, Way};
use agent_update::machine::Event;
use agent_update::{CommandLine, Firmware as _, Updater, disks};

use crate::run::say;
use firmware::Board;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Runs `install FILE`, `watch`, `stopping` or `status`.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Result<(), Failure> {
    match (words.next().as_deref(), words.next()) {
        (Some("install"), Some(file)) => install::run(Path::new(&file)),
        (Some("watch"), None) => watch::run(),
        (Some("stopping"), None) => Own::open()?.tell(Event::Stopping),
        (Some("status"), None) => status(),
        _ => Err("say install and a file, watch, stopping, or status".into()),
    }
}

/// The device with its state.
struct Own {
    updater: Updater<File, Board>,
}

impl Own {
    fn open() -> Result<Self, Failure> {
        let line = CommandLine::parse(&fs_err::read_to_string("/proc/cmdline")?)?;
        let disks = disks::with_signature(line.disk)?;
        let [disk] = &disks[..] else {
            return Err(format!(
                "{} disks have the signature {:08x}, and one must",
                disks.len(),
                line.disk
            )
            .into());
        };
        let disk = File::options()
            .read(true)
            .write(true)
            .open(Path::new("/dev").join(disk))?;
        let updater = Updater::open(disk, Board::find()?)?;
        Ok(Self { updater })
    }

    /// Returns the slot that runs: the one that is not good is on trial.
    fn running(&self) -> Slot {
        use agent_region::Phase::{Committing, Returning, Trial};
        let state = self.updater.state();
        match state.phase {
            Trial { .. } | Committing { .. } | Returning { .. } => state.good.other(),
            _ => state.good,
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), Failure> {
        if let Some(note) = self.updater.tell(event)? {
            self.log(Kind::Update, &note)?;
        }
        Ok(())
    }

    /// Returns how a slot is tried here.
    const fn way(&self) -> Way {
        self.updater.firmware().way()
    }

    fn restart(&mut self) -> Result<(), Failure> {
        Ok(self.updater.firmware_mut().restart()?)
    }

    fn log(&mut self, kind: Kind, text: &str) -> Result<(), Failure> {
        say(text);
        Ok(self.updater.log(now(), kind, text)?)
    }
}

/// Prints the state and the last events.
#[expect(
    clippy::print_stdout,
    reason = "the answer to a question on the command line"
)]
fn status() -> Result<(), Failure> {
    let mut own = Own::open()?;
    println!(
        "slot {} runs, slot {} is kept",
        own.running(),
        own.updater.state().good
    );
    println!("{}", serde_json::to_string_pretty(own.updater.state())?);
    for event in agent_region::Region::events(own.updater.disk())? {
        println!("{:>4}  {}", event.number, event.text);
    }
    Ok(())
}

/// Seconds since 1970, by the device's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "here the clock begins that all rooms are given"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
