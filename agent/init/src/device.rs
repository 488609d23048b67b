//! The disk, the slot that runs, and why it was started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agent_region::Slot;
use agent_update::boot::Selector;
use agent_update::machine::Cause;
use agent_update::{CommandLine, disks};

use crate::{Failure, say};

/// How long a disk may take: USB disks need some seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// What the firmware tells (Raspberry Pi documentation, "/proc/device-tree/chosen/bootloader"); big-endian words.
const FIRMWARE: &str = "/proc/device-tree/chosen/bootloader";
/// Bit of `PM_RSTS` that is set when the power came (BCM2835, `PM_RSTS_HADPOR`).
const HAD_POWER_ON: u32 = 0x1000;

/// The disk that the device started from.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its name below `/dev`.
    pub(crate) name: String,
    /// The disk, to read and write.
    pub(crate) file: File,
    /// The slot that runs.
    pub(crate) slot: Slot,
    /// Why.
    pub(crate) cause: Cause,
    /// Whether the slot is on trial.
    pub(crate) is_trial: bool,
}

impl Device {
    /// Waits for the disk, and finds out which slot runs.
    pub(crate) fn find(line: &CommandLine) -> Result<Self, Failure> {
        let name = wait_for(line.disk)?;
        let path = Path::new("/dev").join(&name);
        // A worn-out card may be read-only. It starts all the same.
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .or_else(|_cannot_write| File::open(&path))?;
        let told = Told::read(Path::new(FIRMWARE));
        // Firmware of before 2024-05 says 0, and a kernel that was loaded by hand nothing.
        let told_slot = told.partition.and_then(Slot::of_boot_partition);
        let slot = if let Some(slot) = told_slot {
            slot
        } else {
            let says = Selector::find(&mut file)?.read(&mut file)?;
            let chosen = says
                .chosen(told.is_tryboot)
                .and_then(Slot::of_boot_partition);
            chosen.ok_or("autoboot.txt names no slot")?
        };
        Ok(Self {
            name,
            file,
            slot,
            cause: told.cause(),
            is_trial: false,
        })
    }

    /// Returns the device file of a partition.
    pub(crate) fn partition(&self, number: u32) -> PathBuf {
        // mmcblk0p2, nvme0n1p2, but sda2.
        let between = if self.name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        Path::new("/dev").join(format!("{}{between}{number}", self.name))
    }
}

/// What the firmware says about this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Told {
    partition: Option<u32>,
    is_tryboot: bool,
    reset: Option<u32>,
}

impl Told {
    fn read(folder: &Path) -> Self {
        let word = |name: &str| {
            let bytes = fs_err::read(folder.join(name)).ok()?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        Self {
            partition: word("partition"),
            is_tryboot: word("tryboot").is_some_and(|value| value != 0),
            reset: word("pm_rsts"),
        }
    }

    const fn cause(self) -> Cause {
        match self.reset {
            None => Cause::Unknown,
            Some(reset) if reset & HAD_POWER_ON != 0 => Cause::Power,
            // Linux restarts a Pi by its watchdog: the register cannot tell the two apart.
            Some(_) => Cause::Crash,
        }
    }
}

fn wait_for(signature: u32) -> Result<String, Failure> {
    let begun = Instant::now();
    let mut was_told = false;
    loop {
        let mut found = disks::with_signature(signature)?;
        match (found.pop(), found.is_empty()) {
            (Some(name), true) => return Ok(name),
            (Some(name), false) => {
                let text = format!(
                    "two disks have the signature {signature:08x}, {name} and {}: take one out",
                    found[0]
                );
                return Err(text.into());
            }
            (None, _) => {}
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "no disk with the signature {signature:08x} came within {} s",
                PATIENCE.as_secs()
            )
            .into());
        }
        if begun.elapsed() > Duration::from_secs(5) && !was_told {
            was_told = true;
            say(&format!(
                "waiting for the disk with the signature {signature:08x}"
            ));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_firmware_says_is_read_as_words() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Told::read(folder.path()), Told::default());
        assert_eq!(Told::default().cause(), Cause::Unknown);
        for (name, value) in [("partition", 3_u32), ("tryboot", 1), ("pm_rsts", 0x1000)] {
            fs_err::write(folder.path().join(name), value.to_be_bytes()).unwrap();
        }
        let told = Told::read(folder.path());
        assert_eq!(
            (told.partition, told.is_tryboot, told.cause()),
            (Some(3), true, Cause::Power)
        );
        fs_err::write(folder.path().join("pm_rsts"), 0x20_u32.to_be_bytes()).unwrap();
        assert_eq!(Told::read(folder.path()).cause(), Cause::Crash);
        fs_err::write(folder.path().join("partition"), [1]).unwrap();
        assert_eq!(Told::read(folder.path()).partition, None);
    }
}
