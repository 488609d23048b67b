//! The changelog (Keep a Changelog): one fragment a change becomes the entry of a version, with the image
//! hashes in it. Text of other entries belongs to people and is never touched.

mod entry;
mod fragment;
pub mod hash_block;

pub use entry::{Entry, body, find, insert, remove, yank};
pub(crate) use fragment::is_cve;
pub use fragment::{ChangeKind, Fragment, read_folder};

/// `## [2.7.0] - 2026-12-01` → `2.7.0`
fn version_of(line: &str) -> Option<&str> {
    line.strip_prefix("## [")?.split(']').next()
}

/// `[2.7.0]: https://…`: the links at the end of a changelog belong to no entry.
fn is_link(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// Returns the lines of an entry, its heading first.
fn lines_of(lines: &[&str], version: &str) -> Option<std::ops::Range<usize>> {
    let start = lines
        .iter()
        .position(|line| version_of(line) == Some(version))?;
    let is_next = |line: &&str| line.starts_with("## ") || is_link(line);
    let length = lines[start + 1..].iter().position(is_next);
    Some(start..length.map_or(lines.len(), |length| start + 1 + length))
}

#[cfg(test)]
mod tests;
