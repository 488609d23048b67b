//! What is remembered.

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One of the two halves of a device that can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    #[default]
    A,
    /// The second.
    B,
}

impl Slot {
    /// Returns the other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Returns the number of its boot partition.
    pub const fn boot_partition(self) -> u32 {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }

    /// Returns the number of its root partition.
    pub const fn root_partition(self) -> u32 {
        match self {
            Self::A => 5,
            Self::B => 6,
        }
    }

    /// Finds the slot by the number of its boot partition.
    pub const fn of_boot_partition(number: u32) -> Option<Self> {
        match number {
            2 => Some(Self::A),
            3 => Some(Self::B),
            _ => None,
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// What a device remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// The slot that is kept: what the firmware starts when nobody asks for another.
    pub good: Slot,
    /// Which copy of the device's settings the good slot uses.
    #[serde(default)]
    pub settings: u32,
    /// The lowest rollback index that may still be installed. It never falls.
    #[serde(default)]
    pub rollback_index: u32,
    /// No time before this is true, in seconds since 1970. It never falls.
    #[serde(default)]
    pub clock_floor: u64,
    /// What is going on.
    pub phase: Phase,
    /// How the last update ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What the other slot holds, whole; nothing once it is written over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Other>,
    /// What a newer program wrote, kept as it is.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An update that goes into the slot that is not good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// Digest of its manifest.
    pub manifest: Sha256Digest,
    /// Its version.
    pub version: String,
    /// Its rollback index.
    pub rollback_index: u32,
    /// Time of its newest part, in seconds since 1970: no time before it is true once it is kept.
    #[serde(default)]
    pub created: u64,
    /// Checks of health that held before: what was broken already does not make it unhealthy.
    #[serde(default)]
    pub baseline: Vec<String>,
    /// What it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Other>,
    /// How often its slot was asked for.
    #[serde(default)]
    pub arms: u32,
    /// How many steps were made for it: one that goes in circles is given up.
    #[serde(default)]
    pub steps: u32,
}

/// A version that was kept, and that the other slot still holds: its owner may go back to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Other {
    /// Its root hash.
    pub root: Sha256Digest,
    /// Its version.
    pub version: String,
    /// Its rollback index.
    #[serde(default)]
    pub rollback_index: u32,
}

/// How a slot is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The firmware starts it once (`tryboot`), and then the good one again by itself.
    OneShot,
    /// The firmware starts it until it is told otherwise: the initramfs counts.
    Counted,
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// The other slot is being written: it cannot start.
    Writing {
        /// What is written.
        update: Update,
    },
    /// The other slot is whole, and nobody asked for it yet.
    Written {
        /// What was written.
        update: Update,
    },
    /// The other slot was asked for; the next start shows whether it came.
    Armed {
        /// What was written.
        update: Update,
        /// How it was asked for.
        way: Way,
    },
    /// The other slot runs, and has to show that it is healthy.
    Trial {
        /// What runs.
        update: Update,
        /// How it was asked for.
        way: Way,
        /// Id of the start (`/proc/sys/kernel/random/boot_id`).
        boot: String,
        /// Which copy of the settings it uses.
        settings: u32,
        /// Whether somebody restarted or switched off the device: then the end of the trial is no fault of the version.
        #[serde(default)]
        was_stopped: bool,
    },
    /// It is healthy: the firmware is being told to start it from now on.
    Committing {
        /// What runs.
        update: Update,
        /// Which copy of the settings it uses.
        settings: u32,
    },
    /// It is not healthy: the device is on its way back to the good slot.
    Returning {
        /// What ran.
        update: Update,
        /// How it was asked for.
        way: Way,
        /// Why, in a sentence.
        reason: String,
    },
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// Digest of its manifest.
    pub manifest: Sha256Digest,
    /// Its version.
    pub version: String,
    /// Whether it is kept.
    pub is_kept: bool,
    /// Why not, or what happened on the way, in a sentence.
    pub reason: String,
}
