//! Wi-Fi networks: what is in reach, and what an owner wants to join.

use serde::{Deserialize, Serialize};

pub use device_settings::{BadWiFi as BadJoin, Hidden, WiFiName};

/// A network to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Join {
    /// Its name.
    pub name: WiFiName,
    /// Its password. Absent for an open network, and for one whose password the device knows.
    #[serde(default)]
    pub password: Option<Hidden>,
    /// Whether it does not tell its name, so that it must be asked for.
    #[serde(default)]
    pub is_hidden: bool,
}

impl Join {
    /// Checks the password.
    pub fn check(&self) -> Result<(), BadJoin> {
        self.password
            .as_ref()
            .map_or(Ok(()), device_settings::is_password)
    }
}

/// How a network is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Not at all.
    Open,
    /// By a password (WPA, WPA2, or WPA2 and WPA3).
    Password,
    /// By a password, with WPA3 alone.
    Wpa3,
    /// By a name and a password, or a certificate, for each user: not supported.
    Enterprise,
    /// By WEP, which protects nothing any more: not supported.
    Wep,
}

impl Security {
    /// Whether a device can join.
    pub fn is_supported(self) -> bool {
        matches!(self, Self::Open | Self::Password | Self::Wpa3)
    }

    /// Judges what an access point says of itself: `NM80211ApFlags` and twice
    /// `NM80211ApSecurityFlags` of NetworkManager.
    pub fn of(flags: u32, wpa: u32, rsn: u32) -> Self {
        const PRIVACY: u32 = 0x1;
        const PSK: u32 = 0x100;
        const ENTERPRISE: u32 = 0x200 | 0x2000;
        const SAE: u32 = 0x400;
        let both = wpa | rsn;
        if both & PSK != 0 {
            Self::Password
        } else if both & SAE != 0 {
            Self::Wpa3
        } else if both & ENTERPRISE != 0 {
            Self::Enterprise
        } else if flags & PRIVACY != 0 && both == 0 {
            Self::Wep
        } else {
            // Opportunistic encryption (OWE) asks for no password either.
            Self::Open
        }
    }
}

/// A network in reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Its name.
    pub name: WiFiName,
    /// Strength of its best access point in percent.
    pub strength: u8,
    /// How it is secured.
    pub security: Security,
    /// Whether the device knows its password.
    pub is_known: bool,
    /// Whether the device is in it.
    pub is_joined: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(password: &str) -> Join {
        Join {
            name: "home".parse().unwrap(),
            password: Some(Hidden::new(password)),
            is_hidden: false,
        }
    }

    #[test]
    fn names_and_passwords_are_those_that_the_standard_allows() {
        assert!("Café Ω".parse::<WiFiName>().is_ok());
        for bad in ["", "a\nb", &"x".repeat(33), &"é".repeat(17)] {
            assert!(bad.parse::<WiFiName>().is_err(), "{bad:?}");
        }
        for good in ["12345678", &"x".repeat(63), &"aF".repeat(32), "with space"] {
            assert!(join(good).check().is_ok(), "{good}");
        }
        for bad in ["1234567", &"x".repeat(64), "pässword", "tab\tinside"] {
            assert!(join(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        assert!(!format!("{:?}", join("12345678")).contains("12345678"));
    }

    #[test]
    fn the_security_is_the_best_that_a_device_can_use() {
        for (flags, wpa, rsn, expected) in [
            (0, 0, 0, Security::Open),
            (1, 0, 0, Security::Wep),
            (1, 0, 0x188, Security::Password),
            (1, 0x144, 0, Security::Password),
            (1, 0, 0x588, Security::Password),
            (1, 0, 0x488, Security::Wpa3),
            (1, 0, 0x288, Security::Enterprise),
            (0, 0, 0x1088, Security::Open),
        ] {
            assert_eq!(Security::of(flags, wpa, rsn), expected);
        }
    }
}
