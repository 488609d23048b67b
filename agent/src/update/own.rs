//! The device with its state: the disk of both slots, and who speaks for the firmware.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_device::facts;
use agent_region::{Kind, Other, Phase, Region, Slot, State, Way};
use agent_update::install::Facts;
use agent_update::machine::Event;
use agent_update::protocol::Noted;
use agent_update::{CommandLine, Firmware as _, Updater, disks};
use content_digest::Sha256Digest;

use super::Failure;
use super::firmware::Board;
use crate::run::say;

/// What the image says of itself.
const IMAGE: &str = "/usr/lib/bakelite/image.json";

/// The device with its state.
pub(super) struct Own {
    updater: Updater<File, Board>,
    /// Root hash that runs.
    root: Sha256Digest,
    product: String,
    version: String,
    /// Rollback index of what runs.
    index: u32,
    /// When it was made, in seconds since 1970: it is not earlier.
    made: u64,
}

impl Own {
    pub(super) fn open() -> Result<Self, Failure> {
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
        let path = Path::new("/dev").join(disk);
        // On a card that takes nothing any more there is still something to show.
        let disk = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .or_else(|_cannot_write| File::open(&path))?;
        let image: serde_json::Value = serde_json::from_slice(&fs_err::read(IMAGE)?)?;
        let word = |key: &str| image[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            updater: Updater::open(disk, Board::find()?)?,
            root: line.root.into(),
            product: word("name"),
            version: word("version"),
            index: image["rollback-index"]
                .as_u64()
                .and_then(|index| index.try_into().ok())
                .unwrap_or(0),
            // All files of an image have the time of its lock.
            made: fs_err::metadata(IMAGE)?.mtime().try_into().unwrap_or(0),
        })
    }

    pub(super) const fn state(&self) -> &State {
        self.updater.state()
    }

    pub(super) const fn disk(&mut self) -> &mut File {
        self.updater.disk()
    }

    /// Returns the root hash that runs.
    pub(super) const fn root(&self) -> Sha256Digest {
        self.root
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Returns the slot that runs: the one that is not good is on trial.
    pub(super) fn running(&self) -> Slot {
        use Phase::{Committing, Returning, Trial};
        let state = self.state();
        match state.phase {
            Trial { .. } | Committing { .. } | Returning { .. } => state.good.other(),
            _ => state.good,
        }
    }

    /// Returns what runs, for whoever wants to go back to it.
    pub(super) fn current(&self) -> Other {
        Other {
            root: self.root,
            version: self.version.clone(),
            rollback_index: self.index,
        }
    }

    /// Returns the version before, if its owner may go back to it. A copy of what runs is none.
    pub(super) fn before(&self) -> Option<&Other> {
        let other = self.state().other.as_ref();
        other.filter(|other| other.rollback_index >= self.floor() && other.root != self.root)
    }

    /// Returns the lowest rollback index that is taken: a device that was just written has kept no update, and has an image.
    pub(super) fn floor(&self) -> u32 {
        self.state().rollback_index.max(self.index)
    }

    /// Returns what this device is, for a bundle.
    pub(super) fn facts(&self) -> Result<Facts, Failure> {
        let compatible = fs_err::read_to_string("/proc/device-tree/compatible")?;
        Ok(Facts {
            product: self.product.clone(),
            compatible: compatible
                .split('\0')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Returns what this device is, for a channel.
    pub(super) fn device(&self) -> Result<agent_update::channel::Device, Failure> {
        Ok(agent_update::channel::Device {
            product: self.product.clone(),
            version: self.version.clone(),
            root: Some(self.root),
            rollback_index: self.floor(),
            id: fs_err::read_to_string("/etc/machine-id")?.trim().to_owned(),
        })
    }

    /// Returns what a fleet server is told of this device.
    pub(super) fn told_to_fleet(&self) -> Vec<(&'static str, String)> {
        let model = fs_err::read_to_string("/proc/device-tree/model").unwrap_or_default();
        vec![
            ("product", self.product.clone()),
            ("version", self.version.clone()),
            ("slot", self.running().to_string()),
            ("model", model.trim_end_matches('\0').to_owned()),
        ]
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), Failure> {
        if let Some(note) = self.updater.tell(event)? {
            self.log(Kind::Update, &note)?;
        }
        Ok(())
    }

    /// Returns how a slot is tried here.
    pub(super) const fn way(&self) -> Way {
        self.updater.firmware().way()
    }

    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        Ok(self.updater.firmware_mut().restart()?)
    }

    pub(super) fn log(&mut self, kind: Kind, text: &str) -> Result<(), Failure> {
        say(text);
        Ok(self.updater.log(now(), kind, text)?)
    }

    /// Returns what happened last.
    pub(super) fn events(&mut self) -> Vec<Noted> {
        let entries = Region::events(self.updater.disk()).unwrap_or_default();
        let noted = |entry: agent_region::Entry| Noted {
            time: entry.time,
            text: entry.text,
        };
        entries.into_iter().map(noted).collect()
    }

    /// Seconds since 1970: not before what this device knows to be past.
    pub(super) fn now(&self) -> u64 {
        now().max(self.state().clock_floor).max(self.made)
    }
}

/// Whether somebody who knows has set the clock.
pub(super) fn is_clock_set() -> bool {
    facts::is_clock_set(Path::new("/"))
}

/// Seconds since 1970, by the device's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "here the clock begins that all rooms are given"
)]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
