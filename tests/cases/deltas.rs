//! Updates by patches of what runs: the same slot in the end, whatever becomes of the patches on the way.

use std::io;

use agent_region::Slot;
use agent_region::disk::Disk as _;
use agent_update::install::{self, Flow, Holds, Source, count, install};
use bakelite_tests::slots::{Bytes, Memory, Reads, Version, start};
use content_digest::Sha256Digest;
use ota_bundle::Kind;
use ota_bundle::delta::{Delta, DeltaHead, Old, Patch, make};

/// A bundle with the file that leads to it.
struct Patched<'b> {
    bundle: Bytes<'b>,
    delta: Delta,
    file: Vec<u8>,
    /// Bytes of the bundle's own segments that were asked for.
    whole: usize,
    fails: bool,
}

impl<'b> Patched<'b> {
    fn new(old: &Version, new: &'b Version) -> Self {
        let news = [
            (Kind::Root, &new.root[..], new.verified.segments(Kind::Root)),
            (Kind::Boot, &new.boot[..], new.verified.segments(Kind::Boot)),
        ];
        let mut file = Vec::new();
        let old = Old::new(&old.root, &old.boot);
        let (table, _): (Sha256Digest, u64) = make(&old, &news, &mut file).unwrap();
        let head = DeltaHead::from_bytes(file.first_chunk().unwrap()).unwrap();
        let metadata = usize::try_from(head.metadata()).unwrap();
        Self {
            bundle: Bytes(&new.bundle),
            delta: Delta::read(&file[..metadata], table).unwrap(),
            file,
            whole: 0,
            fails: false,
        }
    }
}

impl Source for Patched<'_> {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.whole += length as usize;
        self.bundle.read(offset, length, bytes)
    }

    fn patch(&self, segment: u32) -> Option<&Patch> {
        self.delta.patch(segment)
    }

    fn read_patch(&mut self, patch: &Patch, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::other("there is no such file"));
        }
        let from = usize::try_from(patch.offset).unwrap();
        bytes.clear();
        bytes.extend(&self.file[from..from + patch.stored as usize]);
        Ok(())
    }
}

fn versions() -> (Version, Version) {
    (
        Version::new("1.0", 1, 0..3),
        Version::new("2.0", 2, 250..270),
    )
}

/// Installs, and switches the device on with the slot that was written.
fn run(disk: &mut Memory, new: &Version, source: &mut impl Source) -> install::Progress {
    let slots = (Slot::A, Holds::default());
    let done = install(disk, &new.verified, slots, source, &mut |_| Flow::On).unwrap();
    let started = start(disk, true).map_err(|dead| dead.to_string()).unwrap();
    assert_eq!(started.root, new.root_hash.to_string());
    done
}

#[test]
fn patches_make_the_new_slot_and_cost_what_was_counted() {
    let (old, new) = versions();
    let mut disk = Memory::flashed(&old);
    let mut source = Patched::new(&old, &new);
    let slots = (Slot::A, Holds::default());
    let cost = count(&mut disk, &new.verified, slots, &mut source, &mut || {
        Flow::On
    })
    .unwrap();
    let by_patches = run(&mut disk, &new, &mut source);
    assert_eq!((cost.fetch, source.whole), (by_patches.fetched, 0));
    let mut disk = Memory::flashed(&old);
    let whole = run(&mut disk, &new, &mut Bytes(&new.bundle));
    assert!(
        by_patches.fetched * 4 < whole.fetched,
        "{by_patches:?} {whole:?}"
    );
}

/// Counts, and how many bytes of the disk are read for that.
fn cost(
    disk: &Memory,
    new: &Version,
    holds: Holds,
    source: &mut impl Source,
) -> (install::Cost, usize) {
    let mut reads = Reads(disk.clone(), 0);
    let slots = (Slot::A, holds);
    let cost = count(&mut reads, &new.verified, slots, source, &mut || Flow::On);
    (cost.unwrap(), reads.1)
}

#[test]
fn what_root_hashes_vouch_for_is_counted_without_being_read() {
    let (older, (old, new)) = (Version::new("0.9", 0, 250..270), versions());
    let mut disk = Memory::flashed(&old);
    let other = bakelite_tests::slots::layout().root(1).0;
    disk.write_at(other, &older.root).unwrap();
    let holds = Holds {
        running: Some(old.root_hash),
        other: Some(older.root_hash),
    };
    let mut source = Patched::new(&old, &new);
    let (by_reading, all) = cost(&disk, &new, Holds::default(), &mut source);
    let (by_hashes, some) = cost(&disk, &new, holds, &mut source);
    assert_eq!((by_hashes, source.whole), (by_reading, 0));
    assert!(
        by_hashes.write > 0 && some + (1 << 20) < all,
        "{some} of {all} bytes"
    );
    // Hashes of something else, a patch that cannot be had, or none at all: all is read.
    let wrong = Holds {
        running: Some(older.root_hash),
        other: Some(old.root_hash),
    };
    assert_eq!(cost(&disk, &new, wrong, &mut source).0, by_reading);
    source.fails = true;
    assert_eq!(cost(&disk, &new, holds, &mut source).0, by_reading);
    let (whole, read) = cost(&disk, &new, holds, &mut Bytes(&new.bundle));
    assert_eq!(whole.write, by_reading.write);
    assert!(
        whole.fetch > by_reading.fetch && read > some,
        "{whole:?} {by_reading:?} {read} {some}"
    );
}

#[test]
fn patches_that_are_damaged_missing_or_for_another_version_cost_bytes_and_nothing_else() {
    let (old, new) = versions();
    let damaged = |change: fn(&mut Patched<'_>)| {
        let mut disk = Memory::flashed(&old);
        let mut source = Patched::new(&old, &new);
        change(&mut source);
        run(&mut disk, &new, &mut source);
        assert!(source.whole > 0, "segments came whole");
    };
    damaged(|source| source.fails = true);
    damaged(|source| {
        for byte in source.file.iter_mut().skip(32) {
            *byte ^= 0x55;
        }
    });
    // What runs is not what the patches were made for.
    let other = Version::new("1.1", 1, 0..600);
    let mut disk = Memory::flashed(&other);
    let mut source = Patched::new(&old, &new);
    run(&mut disk, &new, &mut source);
    assert!(source.whole > 0);
}
