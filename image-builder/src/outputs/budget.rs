//! What devices with an earlier version would have to fetch: a look at each build, so that nobody learns at the release that a small
//! change moved or rewrote everything.

use std::collections::HashSet;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use ota_bundle::{Bundle, HEAD_LENGTH, Head, Kind, SEGMENT};

use super::bundle::Slots;

/// Compressed files of the root file system begin at such blocks, and those of kernels and initramfs are as large.
const BLOCK: usize = 4096;
/// A build that has less than this part of the earlier one in it is told, in percent, unless the recipe says otherwise in MiB.
const MOST_PERCENT: u64 = 50;

/// How far an image is from an earlier version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distance {
    /// The earlier version.
    pub version: String,
    /// Bytes in blocks that are nowhere in the earlier version.
    pub new: u64,
    /// Bytes in segments that the earlier version has not at the same place: so much is written to its slot.
    pub moved: u64,
    /// Bytes of both slots.
    pub total: u64,
}

impl Distance {
    /// Says it, and warns if it is above the budget.
    pub fn sentence(&self, budget_mib: Option<u32>) -> String {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let text = format!(
            "{} of {} MiB are not in version {}: devices that have it fetch less than that, and write {} MiB",
            mib(self.new),
            mib(self.total),
            self.version,
            mib(self.moved)
        );
        let budget = budget_mib.map_or(self.total * MOST_PERCENT / 100, |mib| u64::from(mib) << 20);
        if self.new <= budget {
            return text;
        }
        format!(
            "warning: {text}, and more than the budget of {} MiB; `bakelite diff` says which files changed",
            mib(budget)
        )
    }
}

/// Finds the newest bundle beside a build: of the versions that were built before it, by their files' times.
pub fn newest_before(product: &Path, version: &str) -> Option<PathBuf> {
    let folders = fs_err::read_dir(product).ok()?.flatten();
    let bundles = folders
        .filter(|folder| folder.file_name() != version)
        .filter_map(|folder| bundle_in(&folder.path()));
    bundles.max_by_key(|path| fs_err::metadata(path).and_then(|data| data.modified()).ok())
}

/// Returns the bundle in the folder of a build.
pub fn bundle_in(build: &Path) -> Option<PathBuf> {
    let files = fs_err::read_dir(build).ok()?.flatten();
    files
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "upd"))
}

/// Compares the first slot of an image with a bundle. Whether somebody signed the bundle does not matter: it is only counted.
pub fn distance(image: &Path, slots: &Slots, before: &Path) -> io::Result<Distance> {
    let (version, [root, boot]) = blocks(before)?;
    let known: HashSet<u64> = root.iter().chain(&boot).copied().collect();
    let mut file = fs_err::File::open(image)?;
    let mut distance = Distance {
        version,
        new: 0,
        moved: 0,
        total: 0,
    };
    let mut fresh = HashSet::new();
    let mut segment = Vec::with_capacity(SEGMENT as usize);
    for ((place, length), old) in [(slots.root, root), (slots.boot, boot)] {
        file.seek(SeekFrom::Start(place))?;
        let mut reader = (&mut file).take(length);
        let mut old = old.chunks(SEGMENT as usize / BLOCK);
        loop {
            segment.clear();
            (&mut reader)
                .take(SEGMENT.into())
                .read_to_end(&mut segment)?;
            if segment.is_empty() {
                break;
            }
            distance.total += segment.len() as u64;
            let names: Vec<u64> = segment.chunks(BLOCK).map(name).collect();
            if old.next() != Some(&names[..]) {
                distance.moved += segment.len() as u64;
            }
            for (name, block) in names.iter().zip(segment.chunks(BLOCK)) {
                if !known.contains(name) && fresh.insert(*name) {
                    distance.new += block.len() as u64;
                }
            }
        }
    }
    Ok(distance)
}

/// Eight bytes are enough to count by.
fn name(block: &[u8]) -> u64 {
    let digest = blake3::hash(block);
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("32 bytes"))
}

/// Returns a bundle's version, and all blocks of its root and its boot slot.
fn blocks(path: &Path) -> io::Result<(String, [Vec<u64>; 2])> {
    let bad = |what: String| io::Error::other(format!("{}: {what}", path.display()));
    let mut file = fs_err::File::open(path)?;
    let mut bytes = vec![0; HEAD_LENGTH];
    file.read_exact(&mut bytes)?;
    let head = Head::from_bytes(bytes.first_chunk().expect("a head"));
    let length = head.map_err(|error| bad(error.to_string()))?.metadata();
    (&mut file)
        .take(length - HEAD_LENGTH as u64)
        .read_to_end(&mut bytes)?;
    let bundle = Bundle::read(&bytes).map_err(|error| bad(error.to_string()))?;
    let id = content_digest::Sha256Digest::of(bundle.manifest_bytes());
    let bundle = bundle.verify(id).map_err(|error| bad(error.to_string()))?;
    let (mut stored, mut plain) = (Vec::new(), Vec::new());
    let mut known = [Vec::new(), Vec::new()];
    for (kind, known) in [Kind::Root, Kind::Boot].into_iter().zip(&mut known) {
        for segment in bundle.segments(kind) {
            stored.resize(segment.stored as usize, 0);
            file.seek(SeekFrom::Start(segment.offset))?;
            file.read_exact(&mut stored)?;
            segment
                .unpack(&stored, &mut plain)
                .map_err(|error| bad(error.to_string()))?;
            known.extend(plain.chunks(BLOCK).map(name));
        }
    }
    Ok((bundle.manifest().version.clone(), known))
}

#[cfg(test)]
mod tests {
    use ota_bundle::{Draft, Verity, Writer};

    use super::*;

    const LENGTH: u64 = BLOCK as u64;

    /// Ten blocks of a root file system and two of a boot slot, each of another byte.
    fn slots() -> (Vec<u8>, Slots) {
        let bytes = (1..=12).flat_map(|byte| [byte; BLOCK]).collect();
        let slots = Slots {
            disk: 1,
            boot: (10 * LENGTH, 2 * LENGTH),
            boot_room: 2 * LENGTH,
            root: (0, 10 * LENGTH),
            data_blocks: 4,
            salt: "00".repeat(32),
            root_hash: content_digest::Sha256Digest::of("root"),
        };
        (bytes, slots)
    }

    fn bundle(folder: &Path, bytes: &[u8], slots: &Slots) -> PathBuf {
        let mut writer = Writer::new(io::Cursor::new(Vec::new()));
        let verity = Verity {
            data_blocks: slots.data_blocks,
            salt: slots.salt.clone(),
            root: slots.root_hash,
        };
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1);
        let (mut root, mut boot) = bytes.split_at(10 * BLOCK);
        let lengths = (10 * LENGTH, 10 * LENGTH);
        writer
            .image(Kind::Root, lengths, Some(verity), &mut root, pack)
            .unwrap();
        let lengths = (2 * LENGTH, 2 * LENGTH);
        writer
            .image(Kind::Boot, lengths, None, &mut boot, pack)
            .unwrap();
        let draft = Draft {
            product: "kvm".into(),
            version: "1.0".into(),
            created: 1,
            rollback_index: 0,
            boards: vec!["raspberrypi,4-model-b".into()],
            disk: 1,
            notes: None,
        };
        let path = folder.join("kvm-1.0.upd");
        let mut file = fs_err::File::create(&path).unwrap();
        writer.finish(draft, &mut file, |_| Ok(Vec::new())).unwrap();
        path
    }

    #[test]
    fn what_moved_is_not_new_and_what_is_twice_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bytes, slots) = slots();
        let build = folder.path().join("kvm/1.0");
        fs_err::create_dir_all(&build).unwrap();
        let before = bundle(&build, &bytes, &slots);
        let found = newest_before(&folder.path().join("kvm"), "1.1");
        assert_eq!(found.as_ref(), Some(&before));
        assert_eq!(newest_before(&folder.path().join("kvm"), "1.0"), None);
        // All moves by three blocks; two of them, the same, and one in the boot slot are new.
        bytes.rotate_right(3 * BLOCK);
        for block in [2, 5, 11] {
            let byte = if block == 11 { 99 } else { 98 };
            bytes[block * BLOCK..(block + 1) * BLOCK].fill(byte);
        }
        let image = folder.path().join("image");
        fs_err::write(&image, &bytes).unwrap();
        let distance = distance(&image, &slots, &before).unwrap();
        let expected = Distance {
            version: "1.0".into(),
            new: 2 * LENGTH,
            moved: 12 * LENGTH,
            total: 12 * LENGTH,
        };
        assert_eq!(distance, expected);
        // Only the boot slot differs: the root stays where it is.
        bytes.rotate_left(3 * BLOCK);
        for (block, byte) in bytes.chunks_mut(BLOCK).zip(1..) {
            block.fill(if byte == 12 { 99 } else { byte });
        }
        fs_err::write(&image, &bytes).unwrap();
        let distance = super::distance(&image, &slots, &before).unwrap();
        assert_eq!((distance.new, distance.moved), (LENGTH, 2 * LENGTH));
        fs_err::write(&before, b"no bundle").unwrap();
        assert!(super::distance(&image, &slots, &before).is_err());
    }

    #[test]
    fn a_budget_is_half_unless_somebody_says_how_much() {
        let distance = |new: u64| Distance {
            version: "1.0".into(),
            new: new << 20,
            moved: 9 << 20,
            total: 100 << 20,
        };
        assert_eq!(
            distance(7).sentence(None),
            "7 of 100 MiB are not in version 1.0: devices that have it fetch less than that, and write 9 MiB"
        );
        assert!(!distance(50).sentence(None).starts_with("warning"));
        assert!(distance(51).sentence(None).starts_with("warning"));
        assert!(distance(51).sentence(None).contains("the budget of 50 MiB"));
        assert!(!distance(51).sentence(Some(60)).starts_with("warning"));
        assert!(distance(7).sentence(Some(6)).starts_with("warning"));
    }
}
