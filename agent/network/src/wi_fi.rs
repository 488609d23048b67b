//! Wi-Fi networks: what is in reach, and what an owner wants to join.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a network in bytes (IEEE 802.11, 9.4.2.2).
const NAME: usize = 32;
/// Characters of a password (IEEE 802.11, annex J.4.1).
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=63;
/// Digits of a key that is given in hexadecimal.
const KEY: usize = 64;

/// A text that is never shown or logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// Name of a network (SSID). Those that are no text cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WiFiName(String);

/// What is wrong with a network that is to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJoin {
    /// No name.
    #[error("the name of a Wi-Fi network has 1 to {NAME} bytes and no control characters")]
    Name,
    /// No password.
    #[error(
        "a Wi-Fi password has 8 to 63 characters (letters, digits, signs and spaces without accents), or is a key of {KEY} hexadecimal digits"
    )]
    Password,
}

impl FromStr for WiFiName {
    type Err = BadJoin;

    fn from_str(name: &str) -> Result<Self, BadJoin> {
        let is_good = (1..=NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        is_good.then(|| Self(name.into())).ok_or(BadJoin::Name)
    }
}

impl TryFrom<String> for WiFiName {
    type Error = BadJoin;

    fn try_from(name: String) -> Result<Self, BadJoin> {
        name.parse()
    }
}

impl From<WiFiName> for String {
    fn from(name: WiFiName) -> Self {
        name.0
    }
}

impl fmt::Display for WiFiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl WiFiName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
        let Some(password) = &self.password else {
            return Ok(());
        };
        let text = password.reveal();
        let is_text = |text: &str| text.bytes().all(|c| matches!(c, b' '..=b'~'));
        let is_key = text.len() == KEY && text.bytes().all(|c| c.is_ascii_hexdigit());
        let is_password = PASSWORD.contains(&text.len()) && is_text(text);
        (is_key || is_password)
            .then_some(())
            .ok_or(BadJoin::Password)
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
