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

/// Changes a text whose lines end in `\n`, and gives it back with the line ends that it had.
fn with_plain_lines<E>(
    text: &str,
    change: impl FnOnce(&str) -> Result<String, E>,
) -> Result<String, E> {
    let has_crlf = text.contains("\r\n");
    let changed = change(&text.replace("\r\n", "\n").replace('\r', "\n"))?;
    Ok(if has_crlf {
        changed.replace('\n', "\r\n")
    } else {
        changed
    })
}

/// As [`with_plain_lines`], for what cannot fail.
fn on_plain_lines(text: &str, change: impl FnOnce(&str) -> String) -> String {
    let done = with_plain_lines(text, |text| Ok::<_, std::convert::Infallible>(change(text)));
    done.unwrap_or_else(|never| match never {})
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
