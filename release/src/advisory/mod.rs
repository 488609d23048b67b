//! Security advisories: one draft, three forms. CSAF 2.0 for programs, Markdown for people, OSV for
//! databases; all bound to the digests of the image that repairs it.
//!
//! ```text
//! release/advisories/acme-2026-001.toml    what developers write
//! ```

mod csaf;
mod draft;
mod markdown;
mod osv;

use content_digest::Sha256Digest;
use jiff::Timestamp;

pub use csaf::csaf;
pub use draft::{Draft, draft_for, load, read_folder};
pub use markdown::markdown;
pub use osv::osv;

/// What is true of all advisories of a release.
#[derive(Debug, Clone)]
pub struct Publication<'a> {
    /// The product's name.
    pub product: &'a str,
    /// Who makes it.
    pub publisher: &'a str,
    /// The publisher's page (CSAF 2.0, §3.2.1.8.5: an address that belongs to them).
    pub website: &'a str,
    /// The version with the repair.
    pub fixed: &'a str,
    /// Files of that version with their digests.
    pub images: Vec<(String, Sha256Digest)>,
    /// When it is published.
    pub time: Timestamp,
}

/// Returns the file name for an id (CSAF 2.0, §5.1): small letters, runs of anything else become `_`.
pub fn file_name(id: &str) -> String {
    let mut name = String::new();
    for letter in id.to_lowercase().chars() {
        let is_plain =
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "+-".contains(letter);
        if is_plain {
            name.push(letter);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name
}

#[cfg(test)]
mod tests;
