//! Addresses of network cards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address of 48 bits (IEEE 802).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

/// The text is no address of one card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network card's address is six pairs of hexadecimal digits such as 52:54:00:12:34:56, and not that of a group"
)]
pub struct BadAddress;

impl MacAddress {
    /// Returns the bytes.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.trim().split(separator);
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or(BadAddress)?;
            // `from_str_radix` would take a sign.
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(BadAddress);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_not_hexadecimal| BadAddress)?;
        }
        // The lowest bit of the first byte says “group” (IEEE 802, §8.2).
        let is_one_card = bytes[0] & 1 == 0 && bytes != [0; 6];
        if parts.next().is_some() || !is_one_card {
            return Err(BadAddress);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, byte) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_groups_and_other_texts_are_refused() {
        for good in [
            "52:54:00:12:34:56",
            "52-54-00-12-34-5F",
            " 52:54:00:12:34:56 ",
        ] {
            assert!(good.parse::<MacAddress>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52:54:00:12:34:5",
            "52:54:00:12:34:+6",
            "52:54-00:12:34:56",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(bad.parse::<MacAddress>(), Err(BadAddress), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 6]) {
            let address = MacAddress(bytes);
            let is_one_card = bytes[0] & 1 == 0 && bytes != [0; 6];
            let read = address.to_string().parse();
            prop_assert_eq!(read, if is_one_card { Ok(address) } else { Err(BadAddress) });
        }
    }
}
