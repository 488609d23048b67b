//! The entry of one version.

use std::fmt::Write as _;

use super::fragment::Fragment;
use super::{is_link, lines_of, on_plain_lines, version_of};

/// An entry as it stands in a changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `YYYY-MM-DD`, if the heading has one.
    pub date: Option<String>,
    /// The text below the heading.
    pub text: String,
}

/// Returns what fragments say, in sections: Security first, and its lines begin with the CVE.
pub fn body(fragments: &[Fragment]) -> String {
    let mut sorted: Vec<&Fragment> = fragments.iter().collect();
    sorted.sort_by(|a, b| (a.kind, !a.breaking, &a.name).cmp(&(b.kind, !b.breaking, &b.name)));
    let mut text = String::new();
    let mut section = None;
    for fragment in sorted {
        if section != Some(fragment.kind) {
            let gap = if section.is_some() { "\n" } else { "" };
            writeln!(text, "{gap}### {}\n", fragment.kind.title())
                .expect("strings take everything");
            section = Some(fragment.kind);
        }
        let mut line = String::from("- ");
        if let Some(cve) = &fragment.cve {
            write!(line, "{cve}: ").expect("strings take everything");
        }
        if fragment.breaking {
            line.push_str("**Breaking:** ");
        }
        line.push_str(&fragment.text.replace('\n', "\n  "));
        // Lines between paragraphs stay empty.
        text.push_str(&line.replace("\n  \n", "\n\n"));
        text.push('\n');
    }
    text
}

/// Returns the entry of a version.
pub fn find(changelog: &str, version: &str) -> Option<Entry> {
    let lines: Vec<&str> = changelog.lines().collect();
    let range = lines_of(&lines, version)?;
    let date = lines[range.start].split("] - ").nth(1);
    let date = date.and_then(|rest| rest.split_whitespace().next());
    Some(Entry {
        date: date.map(str::to_owned),
        text: lines[range.start + 1..range.end]
            .join("\n")
            .trim()
            .to_owned(),
    })
}

/// Returns the changelog with an entry of `version`, instead of the one that it had, or before the newest.
pub fn insert(changelog: &str, version: &str, date: &str, body: &str) -> String {
    on_plain_lines(changelog, |text| insert_plain(text, version, date, body))
}

fn insert_plain(changelog: &str, version: &str, date: &str, body: &str) -> String {
    let lines: Vec<&str> = changelog.lines().collect();
    let heading = format!("## [{version}] - {date}");
    let (before, after) = if let Some(range) = lines_of(&lines, version) {
        (range.start, range.end)
    } else {
        let is_place = |line: &&str| {
            version_of(line).is_some_and(|version| version != "Unreleased") || is_link(line)
        };
        let place = lines.iter().position(is_place).unwrap_or(lines.len());
        (place, place)
    };
    let mut text: Vec<&str> = lines[..before].to_vec();
    while text.last().is_some_and(|line| line.trim().is_empty()) {
        text.pop();
    }
    if text.is_empty() {
        text.push("# Changelog");
    }
    text.extend(["", &heading, ""]);
    text.extend(body.trim_end().lines());
    if after < lines.len() {
        text.push("");
        text.extend(
            lines[after..]
                .iter()
                .skip_while(|line| line.trim().is_empty()),
        );
    }
    text.join("\n") + "\n"
}

/// Returns the changelog without the entry of a version.
pub fn remove(changelog: &str, version: &str) -> String {
    on_plain_lines(changelog, |text| remove_plain(text, version))
}

fn remove_plain(changelog: &str, version: &str) -> String {
    let lines: Vec<&str> = changelog.lines().collect();
    let Some(range) = lines_of(&lines, version) else {
        return changelog.to_owned();
    };
    let mut text: Vec<&str> = lines[..range.start].to_vec();
    text.extend(&lines[range.end..]);
    let text = text.join("\n");
    text.trim_end().to_owned() + "\n"
}

/// Returns the changelog with `[YANKED]` behind the heading of a version (Keep a Changelog).
pub fn yank(changelog: &str, version: &str) -> String {
    let mark = |line: &str| {
        if version_of(line) == Some(version) && !line.ends_with("[YANKED]") {
            format!("{} [YANKED]", line.trim_end())
        } else {
            line.to_owned()
        }
    };
    on_plain_lines(changelog, |text| {
        text.lines().map(mark).collect::<Vec<_>>().join("\n") + "\n"
    })
}
