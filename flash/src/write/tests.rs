//! Disks that fail in every way that cards do.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use block_map::BlockMap;
use content_digest::Sha256Digest;

use super::*;
use crate::Source;
use crate::settings::Patch;

/// What a disk was filled with before.
const OLD: u8 = 0xaa;
const SIZE: usize = 9 << 20;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The power goes in the middle of the write of this number.
    DiesAt(u64),
    /// What is written from there on is not stored: a card that lies about its size.
    Lies(u64),
    /// What is written from there on lands at the beginning again.
    Wraps(u64),
    /// One bit is read wrongly.
    Flips(u64),
    /// Each write takes so long, in milliseconds.
    Slow(u64),
}

struct Memory {
    bytes: Mutex<Vec<u8>>,
    fault: Fault,
    writes: AtomicU64,
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Self {
            bytes: Mutex::new(vec![OLD; SIZE]),
            fault,
            writes: AtomicU64::new(0),
        }
    }

    fn place(&self, offset: u64) -> u64 {
        match self.fault {
            Fault::Wraps(real) => offset % real,
            _ => offset,
        }
    }
}

impl BlockDevice for Memory {
    fn size(&self) -> u64 {
        SIZE as u64
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(
            bytes.len().is_multiple_of(512) && offset.is_multiple_of(4096),
            "not aligned"
        );
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let offset = self.place(offset);
        let at = usize::try_from(offset).unwrap();
        let stored = match self.fault {
            Fault::DiesAt(last) if number > last => return Err(io::ErrorKind::NotFound.into()),
            // Blocks are written whole or not at all.
            Fault::DiesAt(last) if number == last => bytes.len() / 512 / 2 * 512,
            Fault::Lies(real) if offset >= real => 0,
            Fault::Slow(time) => {
                std::thread::sleep(Duration::from_millis(time));
                bytes.len()
            }
            _ => bytes.len(),
        };
        self.bytes.lock().unwrap()[at..at + stored].copy_from_slice(&bytes[..stored]);
        match self.fault {
            Fault::DiesAt(last) if number == last => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = self.place(offset);
        let at = usize::try_from(offset).unwrap();
        bytes.copy_from_slice(&self.bytes.lock().unwrap()[at..at + bytes.len()]);
        if let Fault::Flips(place) = self.fault
            && let Some(place) = place.checked_sub(offset)
            && let Some(byte) = bytes.get_mut(usize::try_from(place).unwrap())
        {
            *byte ^= 1;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// An image of five megabytes and a bit, with holes, and its map.
fn image(folder: &Path) -> (Source, Vec<u8>, BlockMap) {
    let mut bytes: Vec<u8> = (0..1_320_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    bytes[2 << 20..3 << 20].fill(0);
    let path = folder.join("image.img");
    fs_err::write(&path, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
    let size = bytes.len() as u64;
    let ranges = [(0, 2 << 20), (3 << 20, size - (3 << 20))];
    let digests = ranges.map(|(at, length): (u64, u64)| {
        let at = usize::try_from(at).unwrap();
        Sha256Digest::of(&bytes[at..at + usize::try_from(length).unwrap()])
    });
    let map = BlockMap::read(&block_map::write(size, &ranges, &digests)).unwrap();
    (Source::of_file(&path, 1).unwrap(), bytes, map)
}

fn plan(map: Option<BlockMap>) -> Plan {
    Plan {
        size: None,
        map: map.map(Arc::new),
        reads_back: true,
        is_checked: false,
    }
}

fn write(source: &Source, plan: Plan, disks: &[Memory]) -> Vec<Result<Written, Failure>> {
    let disks = disks.iter().map(|disk| Spread {
        disk,
        patch: Patch::default(),
        report: Arc::default(),
    });
    run(source, &Settings::of(plan), &disks.collect::<Vec<_>>())
}

/// Whether a disk boots: its first block is that of the image.
fn boots(disk: &Memory, image: &[u8]) -> bool {
    disk.bytes.lock().unwrap()[..512] == image[..512]
}

fn is_whole(disk: &Memory, image: &[u8], has_map: bool) -> bool {
    let bytes = disk.bytes.lock().unwrap();
    let hole = 2 << 20..3 << 20;
    bytes[..hole.start] == image[..hole.start]
        && bytes[hole.end..image.len()] == image[hole.end..]
        && (has_map || bytes[hole.clone()] == image[hole])
}

#[test]
fn every_disk_becomes_the_image_and_unmapped_blocks_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    for map in [None, Some(map)] {
        let disks = [0; 3].map(|_| Memory::new(Fault::None));
        let mapped = map.as_ref().map_or(image.len() as u64, BlockMap::mapped);
        for outcome in write(&source, plan(map.clone()), &disks) {
            let written = outcome.unwrap();
            assert_eq!((written.bytes, written.read_back), (mapped, mapped));
        }
        for disk in &disks {
            assert!(is_whole(disk, &image, map.is_some()));
            let bytes = disk.bytes.lock().unwrap();
            let is_old = |at: usize| bytes[at] == OLD;
            assert_eq!(is_old(2 << 20), map.is_some(), "the hole");
            assert!(is_old(6 << 20) && bytes[SIZE - 1] == 0, "what lies behind");
        }
    }
}

#[test]
fn what_is_neither_read_back_nor_of_an_unknown_map_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    for map in [None, Some(map)] {
        let disk = [Memory::new(Fault::None)];
        let plan = Plan {
            reads_back: false,
            is_checked: true,
            ..plan(map.clone())
        };
        let written = write(&source, plan, &disk).pop().unwrap().unwrap();
        assert_eq!(written.read_back, 0);
        assert!(is_whole(&disk[0], &image, map.is_some()));
    }
}

#[test]
fn a_file_that_changes_while_it_is_written_never_boots() {
    let folder = tempfile::tempdir().unwrap();
    let (source, _, _) = image(folder.path());
    let path = folder.path().join("image.img");
    let same = fs_err::read(&path).unwrap();
    fs_err::write(&path, same).unwrap();
    let disk = [Memory::new(Fault::None)];
    let outcome = write(&source, plan(None), &disk).pop().unwrap();
    assert!(matches!(outcome, Err(Failure::Image(_))), "{outcome:?}");
    assert!(
        disk[0].bytes.lock().unwrap()[..512]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn whichever_write_is_the_last_the_disk_is_whole_or_does_not_boot() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    let whole = Memory::new(Fault::None);
    write(
        &source,
        plan(Some(map.clone())),
        std::slice::from_ref(&whole),
    )
    .pop()
    .unwrap()
    .unwrap();
    let count = whole.writes.load(Ordering::SeqCst);
    assert!(count > 5, "{count} writes");
    let disks: Vec<Memory> = (0..count)
        .map(|at| Memory::new(Fault::DiesAt(at)))
        .collect();
    let outcomes = write(&source, plan(Some(map)), &disks);
    for (number, (disk, outcome)) in disks.iter().zip(outcomes).enumerate() {
        assert!(outcome.is_err(), "write {number} failed and nobody noticed");
        let is_good = is_whole(disk, &image, true) || !boots(disk, &image);
        assert!(is_good, "boots half after write {number}");
    }
}

#[test]
fn what_one_card_has_otherwise_is_there_whenever_it_boots() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    // In the first block, in the head, and behind it.
    let places = [0, 512 << 10, 4 << 20];
    let mut personal = image.clone();
    let mut blocks = std::collections::BTreeMap::new();
    for at in places {
        let block = &mut personal[at..at + 4096];
        block[1024..2048].fill(0x77);
        blocks.insert(at as u64, block.to_vec());
    }
    let patch = Patch::of(blocks);
    let begun = |disks: &[Memory]| {
        let spread: Vec<Spread<'_>> = disks
            .iter()
            .map(|disk| Spread {
                disk,
                patch: patch.clone(),
                report: Arc::default(),
            })
            .collect();
        run(&source, &Settings::of(plan(Some(map.clone()))), &spread)
    };
    let whole = [Memory::new(Fault::None)];
    begun(&whole).pop().unwrap().unwrap();
    assert!(is_whole(&whole[0], &personal, true));
    let count = whole[0].writes.load(Ordering::SeqCst);
    let disks: Vec<Memory> = (0..count)
        .map(|at| Memory::new(Fault::DiesAt(at)))
        .collect();
    let outcomes = begun(&disks);
    let mut whole = 0;
    for (number, (disk, outcome)) in disks.iter().zip(outcomes).enumerate() {
        assert!(outcome.is_err(), "write {number} failed and nobody noticed");
        let is_good = is_whole(disk, &personal, true);
        assert!(
            is_good || !boots(disk, &personal),
            "boots half after write {number}"
        );
        whole += u32::from(is_good);
    }
    assert!(whole <= 1, "only the last write makes it whole");
    // One that is not stored is found, though the image itself was read back well.
    let flipped = [Memory::new(Fault::Flips((4 << 20) + 1500))];
    assert!(begun(&flipped).pop().unwrap().is_err());
}

#[test]
fn cards_that_lie_or_flip_bits_are_found_and_do_not_boot() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    for (fault, place, found) in [
        (Fault::Lies(4 << 20), 3 << 20, Content::Other),
        (Fault::Flips((4 << 20) + 77), 3 << 20, Content::Other),
        (Fault::Flips(600), 600, Content::Other),
        (Fault::Flips(5), 5, Content::Other),
    ] {
        let disk = [Memory::new(fault)];
        let outcome = write(&source, plan(Some(map.clone())), &disk)
            .pop()
            .unwrap();
        let Err(Failure::Differs { offset, found: is }) = outcome else {
            panic!("{fault:?}: {outcome:?}");
        };
        assert_eq!((offset, is), (place, found), "{fault:?}");
        assert!(!boots(&disk[0], &image), "{fault:?}");
    }
}

#[test]
fn one_that_fails_and_one_that_is_slow_do_not_hold_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, _) = image(folder.path());
    let disks = [
        Memory::new(Fault::None),
        Memory::new(Fault::DiesAt(2)),
        Memory::new(Fault::Slow(120)),
        Memory::new(Fault::None),
    ];
    // With an image of three pieces every queue takes all of it: more are needed to be slow.
    let long = folder.path().join("long");
    let whole: Vec<u8> = image.iter().chain(&image).copied().take(SIZE).collect();
    fs_err::write(&long, &whole).unwrap();
    let long = Source::of_file(&long, 1).unwrap();
    drop(source);
    let spread: Vec<Spread<'_>> = disks
        .iter()
        .map(|disk| Spread {
            disk,
            patch: Patch::default(),
            report: Arc::default(),
        })
        .collect();
    let mut settings = Settings::of(plan(None));
    settings.patience = Duration::from_millis(20);
    let outcomes = run(&long, &settings, &spread);
    let good: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, true], "{outcomes:?}");
    for at in [0, 2, 3] {
        assert!(*disks[at].bytes.lock().unwrap() == whole, "{at}");
    }
}

#[test]
fn a_slow_disk_goes_on_with_an_unpacking_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    // Pieces for more than a queue.
    let whole: Vec<u8> = (0..SIZE / 4)
        .flat_map(|n| u32::try_from(n).unwrap().to_le_bytes())
        .collect();
    fs_err::write(&path, &whole).unwrap();
    let source = Source::of_file(&path, 1).unwrap();
    let disks = [Memory::new(Fault::None), Memory::new(Fault::Slow(300))];
    let spread: Vec<Spread<'_>> = disks
        .iter()
        .map(|disk| Spread {
            disk,
            patch: Patch::default(),
            report: Arc::default(),
        })
        .collect();
    let mut settings = Settings::of(plan(None));
    settings.patience = Duration::ZERO;
    for outcome in run(&source, &settings, &spread) {
        outcome.unwrap();
    }
    assert!(!spread[0].report.is_alone() && spread[1].report.is_alone());
    for disk in &disks {
        assert!(*disk.bytes.lock().unwrap() == whole);
    }
}

#[test]
fn an_image_that_is_cut_or_another_one_never_boots() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image, map) = image(folder.path());
    let path = folder.path().join("cut");
    fs_err::write(&path, &image[..image.len() - 4096]).unwrap();
    let cut = Source::of_file(&path, 1).unwrap();
    let mut other = map.clone();
    other.ranges[1].sha256 = Sha256Digest::of("another");
    let of_size = |size| Plan {
        size: Some(size),
        ..plan(None)
    };
    let longer = of_size(image.len() as u64 + 1);
    for (source, plan) in [
        (&cut, plan(Some(map))),
        (&source, plan(Some(other))),
        (&cut, longer),
    ] {
        let disk = [Memory::new(Fault::None)];
        let outcome = write(source, plan, &disk).pop().unwrap();
        assert!(matches!(outcome, Err(Failure::Image(_))), "{outcome:?}");
        assert!(
            disk[0].bytes.lock().unwrap()[..1 << 20]
                .iter()
                .all(|byte| *byte == 0)
        );
    }
    let disk = [Memory::new(Fault::None)];
    let outcome = write(&source, of_size(SIZE as u64 + 1), &disk)
        .pop()
        .unwrap();
    assert!(matches!(outcome, Err(Failure::Size { .. })), "{outcome:?}");
    assert_eq!(disk[0].bytes.lock().unwrap()[0], OLD, "nothing was written");
}

#[test]
fn a_card_that_stores_less_than_it_says_is_found_with_its_real_size() {
    let good = Memory::new(Fault::None);
    assert_eq!(probe(&good, 1).unwrap(), Capacity::Whole);
    let sizes = [1_u64 << 20, 3 << 20, (5 << 20) + 8192, (SIZE as u64) - 4096];
    let lies = sizes.map(|real| (real, Fault::Lies(real)));
    let wraps = [1_u64 << 20, 2 << 20, 4 << 20, 8 << 20].map(|real| (real, Fault::Wraps(real)));
    for (real, fault) in lies.into_iter().chain(wraps) {
        let card = Memory::new(fault);
        // Marks of a card that was probed before do not count.
        assert!(probe(&card, 1).is_ok());
        let Capacity::Less { at_least, not_at } = probe(&card, 2).unwrap() else {
            panic!("{fault:?} is not found");
        };
        let is_right = at_least <= real && real <= not_at && not_at - at_least <= 1 << 20;
        assert!(is_right, "{fault:?}: {at_least} {not_at}");
    }
}
