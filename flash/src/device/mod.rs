//! Disks of this machine, as the kernel tells of them in sysfs (kernel: `Documentation/ABI/stable/sysfs-block`).
//! Numbers tell them apart, never names: `sdaa` begins like `sda`.

mod list;
mod usage;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub use list::{Devices, Places, ScanError};
pub use usage::Use;

/// Larger disks are no cards: whoever means one says so.
pub const LARGEST: u64 = 256 * 1000 * 1000 * 1000;

/// Number of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// Which driver.
    pub major: u64,
    /// Which of its devices.
    pub minor: u64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no number of a device, such as 8:0")]
pub struct BadNumber;

impl FromStr for Number {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        let (major, minor) = text.trim().split_once(':').ok_or(BadNumber)?;
        let number = |text: &str| text.parse().map_err(|_error| BadNumber);
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// How a disk is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// A USB stick, a card reader, a module in USB boot mode.
    Usb,
    /// A card in a slot, or soldered eMMC.
    Mmc,
    /// A disk of this machine: on SATA, `NVMe`, `VirtIO`.
    Internal,
    /// No device at all: loop, RAM disk, device mapper.
    Virtual,
}

impl Bus {
    /// Returns its name, as it is written in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usb => "usb",
            Self::Mmc => "mmc",
            Self::Internal => "internal",
            Self::Virtual => "virtual",
        }
    }
}

/// A partition as it is before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Partition {
    /// Its node below `/dev`.
    pub node: PathBuf,
    /// Its number.
    pub number: Number,
    /// Bytes.
    pub size: u64,
    /// Its file system's label.
    pub label: Option<String>,
    /// Kind of its file system.
    pub file_system: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// Its node below `/dev`.
    pub node: PathBuf,
    /// Its number.
    pub number: Number,
    /// Bytes; 0 for a reader without a card.
    pub size: u64,
    /// Who made it.
    pub vendor: Option<String>,
    /// What it calls itself.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// How it is connected.
    pub bus: Bus,
    /// Where it is plugged in, such as `1-1.4` for USB.
    pub port: Option<String>,
    /// Whether it says that its medium can be taken out.
    pub is_removable: bool,
    /// Whether it cannot be written.
    pub is_read_only: bool,
    /// Whether it is a boot partition of an eMMC, which is a disk to the kernel.
    pub is_boot_area: bool,
    /// What is on it.
    pub partitions: Vec<Partition>,
    /// What of this machine uses it.
    pub uses: Vec<Use>,
}

/// Whether a disk may be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reason")]
pub enum Verdict {
    /// It is what people flash.
    Offered,
    /// Only if somebody means just this one, and says so.
    Unusual(String),
    /// Never.
    Refused(String),
}

impl Device {
    /// Judges whether it may be written.
    pub fn verdict(&self) -> Verdict {
        if let Some(first) = self.uses.first() {
            let more = match self.uses.len() {
                1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            return Verdict::Refused(format!("this machine uses it: {first}{more}"));
        }
        if self.size == 0 {
            let reason = match self.bus {
                Bus::Virtual => "nothing is behind it",
                Bus::Usb | Bus::Mmc | Bus::Internal => "there is no card in it",
            };
            return Verdict::Refused(reason.into());
        }
        if self.is_read_only {
            return Verdict::Refused(
                "it cannot be written: a card may have a lock at its side".into(),
            );
        }
        if self.is_boot_area {
            return Verdict::Refused("it is a boot partition of an eMMC, not its disk".into());
        }
        let unusual = match self.bus {
            Bus::Virtual => Some("it is no device but a loop, a RAM disk or the like"),
            Bus::Internal if !self.is_removable => Some("it looks like a disk of this machine"),
            Bus::Usb | Bus::Mmc | Bus::Internal if self.size > LARGEST => {
                Some("it is larger than cards are")
            }
            Bus::Usb | Bus::Mmc | Bus::Internal => None,
        };
        unusual.map_or(Verdict::Offered, |reason| Verdict::Unusual(reason.into()))
    }

    /// Returns what people know it by.
    pub fn name(&self) -> String {
        let parts = [&self.vendor, &self.model].into_iter().flatten();
        let name = parts.map(String::as_str).collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            "unnamed".into()
        } else {
            name
        }
    }

    /// Whether this is the same disk with the same medium as at another time.
    pub fn is_same(&self, other: &Self) -> bool {
        let facts = |it: &Self| {
            let (vendor, model, serial) = (it.vendor.clone(), it.model.clone(), it.serial.clone());
            (it.number, it.size, it.port.clone(), vendor, model, serial)
        };
        facts(self) == facts(other)
    }
}

#[cfg(test)]
mod tests;
