//! A Wi-Fi network and its password.

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
pub enum BadWiFi {
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
    type Err = BadWiFi;

    fn from_str(name: &str) -> Result<Self, BadWiFi> {
        let is_good = (1..=NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        is_good.then(|| Self(name.into())).ok_or(BadWiFi::Name)
    }
}

impl TryFrom<String> for WiFiName {
    type Error = BadWiFi;

    fn try_from(name: String) -> Result<Self, BadWiFi> {
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

/// Whether a network can have this password.
pub fn is_password(password: &Hidden) -> Result<(), BadWiFi> {
    let text = password.reveal();
    let is_text = |text: &str| text.bytes().all(|c| matches!(c, b' '..=b'~'));
    let is_key = text.len() == KEY && text.bytes().all(|c| c.is_ascii_hexdigit());
    let is_password = PASSWORD.contains(&text.len()) && is_text(text);
    (is_key || is_password)
        .then_some(())
        .ok_or(BadWiFi::Password)
}

/// A country whose rules for radios hold: two letters (ISO 3166-1). Without one only channels that are free
/// everywhere are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(String);

/// The text is no country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a country has two letters, such as DE or US")]
pub struct BadCountry;

impl FromStr for Country {
    type Err = BadCountry;

    fn from_str(text: &str) -> Result<Self, BadCountry> {
        let is_good = text.len() == 2 && text.bytes().all(|c| c.is_ascii_alphabetic());
        is_good
            .then(|| Self(text.to_ascii_uppercase()))
            .ok_or(BadCountry)
    }
}

impl TryFrom<String> for Country {
    type Error = BadCountry;

    fn try_from(text: String) -> Result<Self, BadCountry> {
        text.parse()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0
    }
}

impl Country {
    /// Returns the two letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A network that the device joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WiFi {
    /// Its name.
    pub name: WiFiName,
    /// Its password; none for an open network.
    pub password: Option<Hidden>,
    /// Whether it does not tell its name, so that it must be asked for.
    pub is_hidden: bool,
    /// Where the device is.
    pub country: Option<Country>,
}
