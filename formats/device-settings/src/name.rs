//! The device's name on the network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name of one label (RFC 1123, §2.1; RFC 1035, §2.3.4): letters, digits and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// The text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device's name has 1 to 63 letters, digits and hyphens, and no hyphen at its ends")]
pub struct BadHostName;

impl HostName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<Self, BadHostName> {
        let is_good = (1..=63).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        is_good
            .then(|| Self(text.to_ascii_lowercase()))
            .ok_or(BadHostName)
    }
}

impl TryFrom<String> for HostName {
    type Error = BadHostName;

    fn try_from(text: String) -> Result<Self, BadHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_label() {
        let read = |text: &str| HostName::try_from(text.to_owned());
        assert_eq!(read("Rack-7").unwrap().to_string(), "rack-7");
        for bad in ["", "-a", "a-", "a.b", "a b", "ä", "a/b", &"x".repeat(64)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
