//! `InRelease`: what a suite holds, by digest. <https://wiki.debian.org/DebianRepository/Format>

use std::collections::BTreeMap;
use std::marker::PhantomData;

use content_digest::Sha256Digest;

use crate::control;
use crate::signature::{Keyring, SignatureError};

/// Marks a release whose signature, age and name were checked.
#[derive(Debug, Clone, Copy)]
pub enum Verified {}

/// An index file named by a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFile {
    /// Digest of the file.
    pub sha256: Sha256Digest,
    /// Size in bytes.
    pub size: u64,
}

/// The contents of `InRelease`. Only verification makes a `Release<Verified>`.
#[derive(Debug, Clone)]
pub struct Release<State> {
    /// `Suite:`, such as `stable`.
    pub suite: String,
    /// `Codename:`, such as `trixie`.
    pub codename: String,
    /// `Date:`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until:`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Whether index files can be fetched by digest.
    pub acquire_by_hash: bool,
    /// Index files by their path below the suite's folder.
    pub files: BTreeMap<String, IndexFile>,
    /// Fingerprint of the key that signed.
    pub fingerprint: String,
    state: PhantomData<State>,
}

/// What is wrong with a release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The signature does not hold.
    #[error("the signature of the release does not hold")]
    Signature(#[source] SignatureError),
    /// The signed text is not control data.
    #[error("the release is not readable")]
    Parse(#[source] control::ParseControlError),
    /// A field is missing or malformed.
    #[error("the release has no valid field {field}")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// The release is for another suite than was asked for.
    #[error("the release is for suite {found}, not {expected}: the mirror serves the wrong files")]
    WrongSuite {
        /// What was asked for.
        expected: String,
        /// `Suite` and `Codename` found.
        found: String,
    },
    /// `Valid-Until` has passed.
    #[error(
        "the release expired at {valid_until} (now it is {now}): the mirror is stale or replays old files"
    )]
    Expired {
        /// RFC 3339 time of expiry.
        valid_until: String,
        /// RFC 3339 time now.
        now: String,
    },
    /// An older release than one seen before.
    #[error(
        "the release of {found} is older than the one of {known} that was seen before: the mirror was rolled back"
    )]
    RolledBack {
        /// RFC 3339 date of this release.
        found: String,
        /// RFC 3339 date of the release seen before.
        known: String,
    },
}

/// What a release must satisfy.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// Suite or code name that was asked for.
    pub suite: &'a str,
    /// Seconds since 1970.
    pub now: i64,
    /// Date of the newest release seen before, in seconds since 1970.
    pub newest_seen: Option<i64>,
}

impl Release<Verified> {
    /// Checks signature, suite, expiry and roll-back, in this order.
    pub fn verify(
        in_release: &[u8],
        keyring: &Keyring,
        expectation: Expectation<'_>,
    ) -> Result<Self, ReleaseError> {
        let signed = keyring
            .verify(in_release, expectation.now)
            .map_err(ReleaseError::Signature)?;
        let stanza = match control::stanzas(signed.text()).next() {
            Some(stanza) => stanza.map_err(ReleaseError::Parse)?,
            None => return Err(ReleaseError::Field { field: "Suite" }),
        };
        let text = |name| stanza.get(name).unwrap_or_default().to_owned();
        let date_of = |field: &'static str| match stanza.get(field) {
            None => Ok(None),
            Some(date) => parse_date(date)
                .map(Some)
                .ok_or(ReleaseError::Field { field }),
        };
        let release = Self {
            suite: text("Suite"),
            codename: text("Codename"),
            date: date_of("Date")?.ok_or(ReleaseError::Field { field: "Date" })?,
            valid_until: date_of("Valid-Until")?,
            acquire_by_hash: stanza.get("Acquire-By-Hash") == Some("yes"),
            files: parse_files(
                stanza
                    .get("SHA256")
                    .ok_or(ReleaseError::Field { field: "SHA256" })?,
            )
            .ok_or(ReleaseError::Field { field: "SHA256" })?,
            fingerprint: signed.fingerprint().to_owned(),
            state: PhantomData,
        };
        // The security archive's code name is `trixie-security`; its path is the same.
        if ![&release.suite, &release.codename]
            .iter()
            .any(|name| name.as_str() == expectation.suite)
        {
            return Err(ReleaseError::WrongSuite {
                expected: expectation.suite.to_owned(),
                found: format!("{} ({})", release.suite, release.codename),
            });
        }
        if let Some(valid_until) = release.valid_until.filter(|end| *end < expectation.now) {
            return Err(ReleaseError::Expired {
                valid_until: rfc3339(valid_until),
                now: rfc3339(expectation.now),
            });
        }
        if let Some(known) = expectation
            .newest_seen
            .filter(|known| *known > release.date)
        {
            return Err(ReleaseError::RolledBack {
                found: rfc3339(release.date),
                known: rfc3339(known),
            });
        }
        Ok(release)
    }
}

/// Writes seconds since 1970 as RFC 3339.
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// `Sat, 12 Sep 2026 07:55:41 UTC`; archives write `UTC` where RFC 2822 wants an offset.
fn parse_date(text: &str) -> Option<i64> {
    let text = text
        .trim()
        .trim_end_matches("UTC")
        .trim_end_matches("GMT")
        .trim_end();
    let text = if text.ends_with("+0000") {
        text.to_owned()
    } else {
        format!("{text} +0000")
    };
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(&text);
    zoned.ok().map(jiff::Timestamp::as_second)
}

fn parse_files(field: &str) -> Option<BTreeMap<String, IndexFile>> {
    let mut files = BTreeMap::new();
    for line in field.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_ascii_whitespace();
        let sha256 = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        files.insert(words.next()?.to_owned(), IndexFile { sha256, size });
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_dates_that_archives_write() {
        assert_eq!(
            parse_date("Sat, 12 Sep 2026 07:55:41 UTC"),
            Some(1_789_199_741)
        );
        assert_eq!(
            parse_date("Sat, 12 Sep 2026 07:55:41 +0000"),
            Some(1_789_199_741)
        );
        assert_eq!(parse_date("yesterday"), None);
    }
}
