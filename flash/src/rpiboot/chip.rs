//! Which chip waits, by its USB product id.

use std::fmt;

use serde::Serialize;

/// USB vendor id of Broadcom.
pub const VENDOR: u16 = 0x0a5c;

/// A chip that boots over USB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Chip {
    /// Compute Module 1, Zero, A+.
    Bcm2835,
    /// Compute Module 3, Zero 2 W.
    Bcm2837,
    /// Compute Module 4, Pi 4 and 400.
    Bcm2711,
    /// Compute Module 5, Pi 5 and 500.
    Bcm2712,
}

impl Chip {
    /// Tells the chip by the product id of its boot ROM.
    pub fn of(vendor: u16, product: u16) -> Option<Self> {
        match (vendor, product) {
            (VENDOR, 0x2763) => Some(Self::Bcm2835),
            (VENDOR, 0x2764) => Some(Self::Bcm2837),
            (VENDOR, 0x2711) => Some(Self::Bcm2711),
            (VENDOR, 0x2712) => Some(Self::Bcm2712),
            _ => None,
        }
    }

    /// Name of the second stage's file.
    pub fn second_stage(self) -> &'static str {
        match self {
            Self::Bcm2835 | Self::Bcm2837 => "bootcode.bin",
            Self::Bcm2711 => "bootcode4.bin",
            Self::Bcm2712 => "bootcode5.bin",
        }
    }

    /// Folders with files for this chip. Raspberry Pi's programs do not agree on one of them.
    pub(crate) fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Bcm2835 => &["2835", "2708"],
            Self::Bcm2837 => &["2837", "2836", "2710"],
            Self::Bcm2711 => &["2711"],
            Self::Bcm2712 => &["2712"],
        }
    }

    /// Whether the second stage may carry a signature of its own (`bootcode.sig`).
    pub(crate) fn signs_second_stage(self) -> bool {
        matches!(self, Self::Bcm2835 | Self::Bcm2837)
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcm2835 => "BCM2835 (Compute Module 1, Zero)",
            Self::Bcm2837 => "BCM2837 (Compute Module 3, Zero 2 W)",
            Self::Bcm2711 => "BCM2711 (Compute Module 4, Pi 4)",
            Self::Bcm2712 => "BCM2712 (Compute Module 5, Pi 5)",
        })
    }
}
