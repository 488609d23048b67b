//! Which part of a whole an upload brings (`Content-Range`, RFC 9110, §14.4).

use std::str::FromStr;

/// A part: `bytes FIRST-LAST/SIZE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Offset of its first byte.
    pub first: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Size of the whole.
    pub size: u64,
}

/// The text is no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Content-Range is “bytes FIRST-LAST/SIZE”, with FIRST ≤ LAST < SIZE")]
pub struct BadPart;

impl FromStr for Part {
    type Err = BadPart;

    fn from_str(text: &str) -> Result<Self, BadPart> {
        let (range, size) = text
            .strip_prefix("bytes ")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(BadPart)?;
        let (first, last) = range.split_once('-').ok_or(BadPart)?;
        let (first, last, size) = (number(first)?, number(last)?, number(size)?);
        if first > last || last >= size {
            return Err(BadPart);
        }
        Ok(Self {
            first,
            length: last - first + 1,
            size,
        })
    }
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Result<u64, BadPart> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_plain.then(|| text.parse().ok()).flatten();
    number.ok_or(BadPart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_parts_of_a_whole_are_parts() {
        let part = Part {
            first: 5,
            length: 5,
            size: 10,
        };
        assert_eq!("bytes 5-9/10".parse(), Ok(part));
        for bad in [
            "",
            "bytes",
            "bytes 0-0",
            "bytes 0-0/0",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes +0-1/2",
            "bytes 0-1/*",
            "bytes */10",
            "items 0-1/2",
            "bytes 0-18446744073709551616/18446744073709551617",
        ] {
            assert_eq!(bad.parse::<Part>(), Err(BadPart), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(first: u32, length in 1u32.., rest: u32) {
            let (first, length) = (u64::from(first), u64::from(length));
            let part = Part { first, length, size: first + length + u64::from(rest) };
            let text = format!("bytes {}-{}/{}", part.first, part.first + part.length - 1, part.size);
            prop_assert_eq!(text.parse(), Ok(part));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            drop(text.parse::<Part>());
        }
    }
}
