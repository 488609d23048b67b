//! Reading a map: versions 1.3 to 2.x, with SHA-256 digests.

use content_digest::Sha256Digest;
use roxmltree::{Document, Node};

/// Longest text that is read: a map of a terabyte of single blocks is far below it.
const LONGEST: usize = 64 << 20;
/// The newest major version that is known (2.0, bmaptool's `BmapCreate.py`).
const NEWEST: u32 = 2;

/// Which blocks of an image hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// Bytes of the image.
    pub image_size: u64,
    /// Ranges that hold anything, rising and apart.
    pub ranges: Vec<Range>,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Digest of its content.
    pub sha256: Sha256Digest,
}

/// The text is no map that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not XML, or too much of it.
    #[error("the block map is no XML")]
    Xml(#[from] roxmltree::Error),
    /// Too long.
    #[error("the block map is longer than {LONGEST} bytes")]
    Long,
    /// Something is missing or no number.
    #[error("the block map has no good {0}")]
    Missing(&'static str),
    /// Of another time.
    #[error("the block map has version {0}; versions 1.3 to {NEWEST}.x are known")]
    Version(String),
    /// Digests of another kind.
    #[error("the block map has {0} digests; only sha256 is taken")]
    Digests(String),
    /// The text was changed.
    #[error("the block map does not have the digest that it says it has: it was changed or cut")]
    Changed,
    /// Ranges that overlap or lie outside of the image.
    #[error("the block map's range {0} overlaps another or lies outside of the image")]
    Range(String),
}

impl BlockMap {
    /// Reads a map and checks it against its own digest.
    pub fn read(text: &str) -> Result<Self, MapError> {
        if text.len() > LONGEST {
            return Err(MapError::Long);
        }
        let document = Document::parse(text)?;
        let root = document.root_element();
        let version = root.attribute("version").unwrap_or_default();
        let major = version.split('.').next().and_then(|it| it.parse().ok());
        let is_known = root.has_tag_name("bmap")
            && major.is_some_and(|major: u32| (1..=NEWEST).contains(&major));
        if !is_known {
            return Err(MapError::Version(version.chars().take(20).collect()));
        }
        let kind = value(root, "ChecksumType").unwrap_or("sha1");
        if kind != "sha256" {
            return Err(MapError::Digests(kind.chars().take(20).collect()));
        }
        check_own_digest(text, root)?;
        let image_size = number(root, "ImageSize")?;
        let block = number(root, "BlockSize")?;
        if !block.is_power_of_two() || !(512..=1 << 30).contains(&block) {
            return Err(MapError::Missing("BlockSize"));
        }
        let map = child(root, "BlockMap").ok_or(MapError::Missing("BlockMap"))?;
        let mut ranges = Vec::new();
        let mut end = 0;
        for node in map.children().filter(|node| node.has_tag_name("Range")) {
            let range = range(node, block, image_size)?;
            if range.start < end {
                return Err(MapError::Range(text_of(node).into()));
            }
            end = range.start + range.length;
            ranges.push(range);
        }
        Ok(Self { image_size, ranges })
    }

    /// Returns the bytes that hold anything.
    pub fn mapped(&self) -> u64 {
        self.ranges.iter().map(|range| range.length).sum()
    }
}

/// The digest is taken while its own field holds zeros.
fn check_own_digest(text: &str, root: Node<'_, '_>) -> Result<(), MapError> {
    let node = child(root, "BmapFileChecksum").ok_or(MapError::Missing("BmapFileChecksum"))?;
    let told = text_of(node);
    let expected: Sha256Digest = told
        .parse()
        .map_err(|_error| MapError::Missing("BmapFileChecksum"))?;
    let at = node.range();
    let zeroed = text[at.clone()].replacen(told, &"0".repeat(told.len()), 1);
    let whole = [&text[..at.start], &zeroed, &text[at.end..]].concat();
    if Sha256Digest::of(whole) == expected {
        Ok(())
    } else {
        Err(MapError::Changed)
    }
}

/// Blocks are counted from the first to the last, both within; the last block of the image may be cut.
fn range(node: Node<'_, '_>, block: u64, size: u64) -> Result<Range, MapError> {
    let text = text_of(node);
    let bad = || MapError::Range(text.chars().take(60).collect());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u64 = first.trim().parse().map_err(|_error| bad())?;
    let last: u64 = last.trim().parse().map_err(|_error| bad())?;
    let start = first.checked_mul(block).ok_or_else(bad)?;
    let end = last
        .checked_add(1)
        .and_then(|last| last.checked_mul(block))
        .ok_or_else(bad)?
        .min(size);
    let sha256 = node.attribute("chksum").unwrap_or_default();
    let sha256 = sha256
        .parse()
        .map_err(|_error| MapError::Missing("chksum"))?;
    let length = end.checked_sub(start).filter(|length| *length > 0);
    Ok(Range {
        start,
        length: length.filter(|_| first <= last).ok_or_else(bad)?,
        sha256,
    })
}

fn child<'a, 'i>(root: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    root.children().find(|node| node.has_tag_name(name))
}

fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn value<'a>(root: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(root, name).map(text_of)
}

fn number(root: Node<'_, '_>, name: &'static str) -> Result<u64, MapError> {
    let value = value(root, name).and_then(|value| value.parse().ok());
    value.ok_or(MapError::Missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BLOCK, whole_blocks, write};
    use proptest::prelude::*;

    fn map() -> String {
        let ranges = [(0, 8192), (12288, 4096), (40960, 100)];
        let digests = ranges.map(|(start, _)| Sha256Digest::of(start.to_string()));
        write(41060, &ranges, &digests)
    }

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let read = BlockMap::read(&map()).unwrap();
        assert_eq!((read.image_size, read.mapped()), (41060, 12388));
        let places: Vec<_> = read.ranges.iter().map(|it| (it.start, it.length)).collect();
        assert_eq!(places, [(0, 8192), (12288, 4096), (40960, 100)]);
        assert_eq!(read.ranges[1].sha256, Sha256Digest::of("12288"));
    }

    #[test]
    fn what_was_changed_or_is_of_another_time_is_refused() {
        let good = map();
        assert!(matches!(
            BlockMap::read(&good.replace(" 3 ", " 4 ")),
            Err(MapError::Changed)
        ));
        for (from, to, part) in [
            ("version=\"2.0\"", "version=\"3.0\"", "version 3.0"),
            ("sha256 </Check", "sha1 </Check", "sha1"),
            ("<ImageSize> 41060", "<ImageSize> x", "digest that it says"),
            ("</bmap>", "", "no XML"),
        ] {
            let error = BlockMap::read(&good.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(part), "{from}: {error}");
        }
    }

    #[test]
    fn ranges_that_lie_are_refused() {
        for ranges in [
            &[(0, 8192), (4096, 4096)][..],
            &[(8192, 4096), (0, 4096)],
            &[(1 << 20, 4096)],
        ] {
            let digests = vec![Sha256Digest::of("x"); ranges.len()];
            let text = write(41060, ranges, &digests);
            let error = BlockMap::read(&text).unwrap_err();
            assert!(matches!(error, MapError::Range(_)), "{ranges:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_map_is_read_back(parts in proptest::collection::vec((0u64..1 << 20, 1u64..9000), 0..20)) {
            let size = 2 << 20;
            let ranges = whole_blocks(&parts, size);
            let digests: Vec<_> = ranges.iter().map(|(at, _)| Sha256Digest::of(at.to_string())).collect();
            let read = BlockMap::read(&write(size, &ranges, &digests)).unwrap();
            let places: Vec<_> = read.ranges.iter().map(|it| (it.start, it.length)).collect();
            prop_assert_eq!(places, ranges);
            prop_assert!(read.ranges.iter().all(|it| it.start % BLOCK == 0));
        }

        #[test]
        fn any_text_ends_well(text in "\\PC{0,200}") {
            let _judged = BlockMap::read(&text);
        }
    }
}
