//! What of this machine uses a disk: mounted file systems, swap, and what is built upon partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Number;
use super::list::{Places, numbers_below};

/// A use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "use", content = "at")]
pub enum Use {
    /// Mounted there.
    Mounted(PathBuf),
    /// Swap.
    Swap(PathBuf),
    /// A part of LVM, RAID, encryption or the like, by the name of the device above it.
    Part(String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted(at) => write!(f, "mounted at {}", at.display()),
            Self::Swap(node) => write!(f, "swap at {}", node.display()),
            Self::Part(holder) => write!(f, "a part of {holder}"),
        }
    }
}

/// Uses by the number of the disk that is used, whatever lies between.
pub(super) fn of_disks(places: &Places) -> std::io::Result<BTreeMap<Number, BTreeSet<Use>>> {
    let mut uses = BTreeMap::<Number, BTreeSet<Use>>::new();
    let mut add = |number: Number, what: &Use| {
        for disk in disks(places, number, 0) {
            uses.entry(disk).or_default().insert(what.clone());
        }
    };
    let mounts = fs_err::read_to_string(&places.mounts)?;
    for (number, at) in mounts.lines().filter_map(mount) {
        add(number, &Use::Mounted(at));
    }
    let swaps = fs_err::read_to_string(&places.swaps)?;
    // The first line is a heading. A file that is swapped to lies on something that is mounted.
    for node in swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
    {
        let node = PathBuf::from(unescape(node));
        if let Some(number) = number_of(&node) {
            add(number, &Use::Swap(node));
        }
    }
    for (number, folder) in numbers_below(&places.numbers())? {
        for holder in list(&folder.join("holders")) {
            add(number, &Use::Part(holder));
        }
    }
    Ok(uses)
}

/// Returns the number of a block device, by its node.
pub(super) fn number_of(node: &Path) -> Option<Number> {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = fs_err::metadata(node).ok()?;
    metadata.file_type().is_block_device().then(|| Number {
        major: nix::sys::stat::major(metadata.rdev()),
        minor: nix::sys::stat::minor(metadata.rdev()),
    })
}

/// Reads a line of `/proc/self/mountinfo` (proc(5)): number, where, and the source where the number is of no
/// block device, as with Btrfs.
fn mount(line: &str) -> Option<(Number, PathBuf)> {
    let mut fields = line.split(' ');
    let number: Number = fields.nth(2)?.parse().ok()?;
    let at = PathBuf::from(unescape(fields.nth(1)?));
    if number.major != 0 {
        return Some((number, at));
    }
    let source = fields.skip_while(|field| *field != "-").nth(2)?;
    let source = unescape(source);
    let node = Path::new(&source);
    let number = node.is_absolute().then(|| number_of(node)).flatten()?;
    Some((number, at))
}

/// Undoes the kernel's `\040`.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let octal = text.get(at + 1..at + 4);
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal.filter(|_| bytes[at] == b'\\') {
            out.push(byte);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the disks below a device: a partition's disk, or all that a mapped device is built upon.
fn disks(places: &Places, number: Number, depth: u32) -> Vec<Number> {
    // The kernel has no circles; whoever fakes them gets an end.
    if depth > 32 {
        return Vec::new();
    }
    let folder = places.numbers().join(number.to_string());
    let read = |path: PathBuf| {
        let text = fs_err::read_to_string(path).ok()?;
        text.parse::<Number>().ok()
    };
    let mut below = Vec::new();
    if folder.join("partition").exists() {
        let disk = fs_err::canonicalize(&folder)
            .ok()
            .and_then(|folder| read(folder.parent()?.join("dev")));
        below.extend(disk);
    }
    for slave in list(&folder.join("slaves")) {
        below.extend(read(folder.join("slaves").join(slave).join("dev")));
    }
    if below.is_empty() {
        return vec![number];
    }
    let mut all = vec![number];
    for number in below {
        all.extend(disks(places, number, depth + 1));
    }
    all
}

fn list(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = r"36 35 98:1 / /mnt/a\040b rw,noatime master:1 - ext3 /dev/root rw";
        let (number, at) = mount(line).unwrap();
        assert_eq!((number.to_string(), at), ("98:1".into(), "/mnt/a b".into()));
        // A file system without a block device of its own has none to look for.
        assert!(mount("25 30 0:23 / /proc rw - proc proc rw").is_none());
        assert!(mount("nonsense").is_none());
        assert_eq!(unescape(r"a\\040"), r"a\ ");
        assert_eq!(unescape(r"ends\04"), r"ends\04");
    }
}
