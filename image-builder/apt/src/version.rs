//! Debian package versions: `[epoch:]upstream[-revision]`, ordered as Debian Policy 5.6.12 says.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A Debian version. Two versions may be equal in order and differ in text (`1.0` and `0:1.0`);
/// `==` follows the order, as dpkg does.
#[derive(Clone)]
pub struct DebVersion {
    text: String,
    epoch: u32,
}

/// The text is not a Debian version.
#[derive(Debug, thiserror::Error)]
#[error("“{text}” is not a Debian version: {reason}")]
pub struct ParseVersionError {
    /// The text that was found.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl DebVersion {
    /// Returns the version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the version without its epoch: the form used in file names.
    pub fn without_epoch(&self) -> &str {
        self.text
            .split_once(':')
            .map_or(self.text.as_str(), |(_, rest)| rest)
    }

    fn upstream_and_revision(&self) -> (&str, &str) {
        self.without_epoch()
            .rsplit_once('-')
            .unwrap_or((self.without_epoch(), ""))
    }
}

impl FromStr for DebVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| {
            Err(ParseVersionError {
                text: text.to_owned(),
                reason,
            })
        };
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => match epoch.parse::<u32>() {
                Ok(number) if epoch.bytes().all(|b| b.is_ascii_digit()) => (number, rest),
                _ => return fail("the epoch is not a number"),
            },
            None => (0, text),
        };
        if rest.is_empty() {
            return fail("nothing follows the epoch");
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".+-:~".contains(&b);
        if !rest.bytes().all(allowed) {
            return fail("only letters, digits and . + - : ~ are allowed");
        }
        let upstream = rest.rsplit_once('-').map_or(rest, |(upstream, _)| upstream);
        if upstream.is_empty() || rest.ends_with('-') {
            return fail("the upstream version or the revision is empty");
        }
        Ok(Self {
            text: text.to_owned(),
            epoch,
        })
    }
}

impl Ord for DebVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let (upstream, revision) = self.upstream_and_revision();
        let (other_upstream, other_revision) = other.upstream_and_revision();
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(upstream.as_bytes(), other_upstream.as_bytes()))
            .then_with(|| compare_part(revision.as_bytes(), other_revision.as_bytes()))
    }
}

/// Compares alternating runs of non-digits (letters before all else, `~` before the end) and digits.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    fn weight(byte: Option<&u8>) -> i32 {
        match byte {
            None => 0,
            Some(b'~') => -1,
            Some(b) if b.is_ascii_digit() => 0,
            Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
            Some(b) => i32::from(*b) + 256,
        }
    }
    let digits = |part: &[u8]| part.iter().take_while(|b| b.is_ascii_digit()).count();
    while !a.is_empty() || !b.is_empty() {
        loop {
            let a_digit = a.first().is_none_or(u8::is_ascii_digit);
            let b_digit = b.first().is_none_or(u8::is_ascii_digit);
            if a_digit && b_digit {
                break;
            }
            match weight(a.first()).cmp(&weight(b.first())) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                other => return other,
            }
        }
        let (a_number, a_rest) = a.split_at(digits(a));
        let (b_number, b_rest) = b.split_at(digits(b));
        let strip = |n: &'_ [u8]| n.iter().take_while(|d| **d == b'0').count();
        let (x, y) = (&a_number[strip(a_number)..], &b_number[strip(b_number)..]);
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => (a, b) = (a_rest, b_rest),
            other => return other,
        }
    }
    Ordering::Equal
}

impl PartialOrd for DebVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebVersion {}

impl fmt::Display for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for DebVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for DebVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> DebVersion {
        text.parse().unwrap()
    }

    #[test]
    fn orders_as_dpkg_does() {
        // Each is smaller than the next; taken from Policy and from dpkg's own rules.
        let rising = [
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0",
            "1.0a",
            "1.0+b1",
            "1.0.1",
            "1.2",
            "1.10",
            "1:0.1",
            "1:0.1-0+deb13u1",
            "1:0.1-1~bpo12+1",
            "1:0.1-1",
            "2:0",
        ];
        for pair in rising.windows(2) {
            assert!(
                version(pair[0]) < version(pair[1]),
                "{} < {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn equal_versions_may_be_written_differently() {
        assert_eq!(version("0:1.0"), version("1.0"));
        assert_eq!(version("1.0-0"), version("1.0"));
        assert_eq!(version("1.007"), version("1.7"));
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "a:1", ":1", "1:", "1.0-", "-1", "1 0", "1_0"] {
            assert!(text.parse::<DebVersion>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a-z.+~]{1,8}(-[0-9a-z~]{1,4})?", b in "[0-9a-z.+~]{1,8}(-[0-9a-z~]{1,4})?", c in "[0-9a-z.+~]{1,8}") {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
