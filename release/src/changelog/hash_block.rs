//! The image hashes in a changelog: a block between markers that belongs to the program. Text around it
//! belongs to people and is never touched.
//!
//! ```markdown
//! <!-- bakelite:images:begin candidate=sha256:… -->
//! | Image | Size | SHA-256 (download) | SHA-256 (extracted `.img`) |
//! | --- | --- | --- | --- |
//! | `kvm-2.7.0.img.zst` | 256.1 MiB | `…` | `…` |
//!
//! Verify: `sha256sum -c SHA256SUMS` (Linux), `shasum -a 256 -c SHA256SUMS` (macOS)
//! <!-- bakelite:images:end -->
//! ```
//!
//! Both hashes, with labels: “which file did you hash?” is what users ask.

use std::fmt::Write as _;

use artifact_manifest::{ArtifactManifest, Role};
use content_digest::Sha256Digest;

use super::{lines_of, version_of, with_plain_lines};

const BEGIN: &str = "<!-- bakelite:images:begin";
const END: &str = "<!-- bakelite:images:end -->";

/// The block cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashBlockError {
    /// The changelog has no entry for the version.
    #[error("the changelog has no entry “## [{version}]”; it has {}", known.join(", "))]
    NoEntry {
        /// The version.
        version: String,
        /// Versions that have entries.
        known: Vec<String>,
    },
    /// A block begins and does not end in the same entry.
    #[error("line {line}: the block that begins here has no end: write “{END}” behind it")]
    NoEnd {
        /// Line, counted from 1.
        line: usize,
    },
    /// The manifest has no image.
    #[error("the manifest names no image")]
    NoImage,
}

/// Returns the changelog with the block of `version` as the manifest says. The same input gives the
/// same output; a block that is right already changes nothing.
pub fn update(
    changelog: &str,
    version: &str,
    manifest: &ArtifactManifest,
    candidate: Sha256Digest,
    minisign: Option<&str>,
) -> Result<String, HashBlockError> {
    let block = block(manifest, candidate, minisign)?;
    with_plain_lines(changelog, |text| put(text, version, &block))
}

fn put(changelog: &str, version: &str, block: &str) -> Result<String, HashBlockError> {
    let lines: Vec<&str> = changelog.lines().collect();
    let heading = |line: &str| version_of(line).map(str::to_owned);
    let Some(range) = lines_of(&lines, version) else {
        return Err(HashBlockError::NoEntry {
            version: version.to_owned(),
            known: lines.iter().filter_map(|line| heading(line)).collect(),
        });
    };
    let (start, end) = (range.start, range.end);
    let entry = &lines[start..end];
    let begin = entry.iter().position(|line| line.starts_with(BEGIN));
    let (before, after) = if let Some(begin) = begin {
        let mut behind = entry[begin..].iter();
        let last = behind.position(|line| line.trim_end() == END);
        let last = last.ok_or(HashBlockError::NoEnd {
            line: start + begin + 1,
        })?;
        (start + begin, start + begin + last + 1)
    } else {
        let is_blank = |line: &&&str| line.trim().is_empty();
        (end - entry.iter().rev().take_while(is_blank).count(), end)
    };
    let is_new = begin.is_none();
    let mut text: Vec<&str> = lines[..before].to_vec();
    if is_new {
        text.push("");
    }
    text.extend(block.lines());
    if is_new && after < lines.len() {
        text.push("");
    }
    text.extend(&lines[after..]);
    Ok(text.join("\n") + "\n")
}

/// One image of a block, as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of the file.
    pub name: String,
    /// Digest of the file.
    pub download: Sha256Digest,
    /// Digest of the image in it; none if the file is the image.
    pub extracted: Option<Sha256Digest>,
}

/// Reads the block of a version; empty if there is none.
pub fn read(changelog: &str, version: &str) -> Vec<Row> {
    let lines: Vec<&str> = changelog.lines().collect();
    let Some(range) = lines_of(&lines, version) else {
        return Vec::new();
    };
    let mut block = lines[range]
        .iter()
        .skip_while(|line| !line.starts_with(BEGIN));
    let block = block.by_ref().take_while(|line| line.trim_end() != END);
    let row = |line: &&str| {
        let mut cells = line.trim().trim_matches('|').split('|');
        let mut cell = || Some(cells.next()?.trim().trim_matches('`'));
        let (name, _size) = (cell()?.to_owned(), cell()?);
        let download = cell()?.parse().ok()?;
        let extracted = cell()?.parse().ok();
        Some(Row {
            name,
            download,
            extracted,
        })
    };
    block.filter_map(row).collect()
}

fn block(
    manifest: &ArtifactManifest,
    candidate: Sha256Digest,
    minisign: Option<&str>,
) -> Result<String, HashBlockError> {
    let mut text = format!(
        "{BEGIN} candidate=sha256:{candidate} -->\n\
         | Image | Size | SHA-256 (download) | SHA-256 (extracted `.img`) |\n\
         | --- | --- | --- | --- |\n"
    );
    let images = manifest
        .files
        .iter()
        .filter(|file| file.role == Role::Image);
    let mut count = 0;
    for image in images {
        count += 1;
        let extracted = image.extracted.map_or_else(
            || "the same".to_owned(),
            |inside| format!("`{}`", inside.sha256),
        );
        writeln!(
            text,
            "| `{}` | {} | `{}` | {extracted} |",
            image.name,
            mebibytes(image.size),
            image.sha256
        )
        .expect("strings take everything");
    }
    if count == 0 {
        return Err(HashBlockError::NoImage);
    }
    let minisign = minisign.map_or(String::new(), |key| {
        format!(", `minisign -Vm SHA256SUMS -P {key}`")
    });
    writeln!(
        text,
        "\nVerify: `sha256sum -c SHA256SUMS` (Linux), `shasum -a 256 -c SHA256SUMS` (macOS){minisign}"
    )
    .expect("strings take everything");
    text.push_str(END);
    Ok(text)
}

fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [2.7.0] - 2026-12-01\n\n### Added\n\n- Tea.\n\n## [2.6.0] - 2026-10-01\n\n- Coffee.\n\n[2.7.0]: https://example.com/2.7.0\n";

    fn manifest() -> ArtifactManifest {
        let golden = include_str!("../../../formats/artifact-manifest/golden/manifest-1.json");
        ArtifactManifest::from_json(golden).unwrap()
    }

    fn updated(text: &str, version: &str) -> String {
        update(text, version, &manifest(), Sha256Digest::of("rc"), None).unwrap()
    }

    #[test]
    fn the_block_goes_to_the_end_of_its_entry_and_nothing_else_changes() {
        for version in ["2.7.0", "2.6.0", "Unreleased"] {
            let text = updated(CHANGELOG, version);
            let (before, rest) = text.split_once(BEGIN).unwrap();
            let (block, after) = rest.split_once(END).unwrap();
            let kept = format!("{}{}", before.trim_end(), after);
            let words = |text: &str| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(words(&kept), words(CHANGELOG), "{version}");
            assert!(
                before.rsplit("## [").next().unwrap().starts_with(version),
                "{text}"
            );
            for file in manifest()
                .files
                .iter()
                .filter(|file| file.role == Role::Image)
            {
                assert!(block.contains(&file.sha256.to_string()));
                assert!(block.contains(&file.extracted.unwrap().sha256.to_string()));
            }
        }
    }

    #[test]
    fn again_changes_nothing_and_another_candidate_only_the_block() {
        let once = updated(CHANGELOG, "2.7.0");
        assert_eq!(updated(&once, "2.7.0"), once);
        let other = update(&once, "2.7.0", &manifest(), Sha256Digest::of("rc2"), None).unwrap();
        assert_ne!(other, once);
        assert_eq!(updated(&other, "2.7.0"), once);
        // Another entry's block is another block.
        let both = updated(&once, "2.6.0");
        assert_eq!(both.matches(END).count(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text: &str, version: &str| {
            update(text, version, &manifest(), Sha256Digest::of("rc"), None)
                .unwrap_err()
                .to_string()
        };
        assert!(wrong(CHANGELOG, "3.0.0").ends_with("it has Unreleased, 2.7.0, 2.6.0"));
        let open = CHANGELOG.replace("- Tea.", "- Tea.\n<!-- bakelite:images:begin -->");
        assert!(wrong(&open, "2.7.0").starts_with("line 10:"));
        // An end in another entry is none.
        let elsewhere = open.replace("- Coffee.", "<!-- bakelite:images:end -->");
        assert!(wrong(&elsewhere, "2.7.0").starts_with("line 10:"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_stays_and_settles(text in "(## \\[1\\]|a|\n|<!-- bakelite:images:begin -->|<!-- bakelite:images:end -->|## b){0,12}") {
            if let Ok(once) = update(&text, "1", &manifest(), Sha256Digest::of("rc"), None) {
                proptest::prop_assert_eq!(update(&once, "1", &manifest(), Sha256Digest::of("rc"), None).unwrap(), once);
            }
        }
    }
}
