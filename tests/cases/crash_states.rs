//! The power is cut at every moment of an update, with every way in which a disk may have kept part of what was written last:
//! the device starts, old or new and whole, and comes to the new version when it is switched on again.
//!
//! Here a sample is tried; `scripts/crash-states` tries all of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use agent_region::disk::Disk;
use agent_region::{Other, Region, Slot, State, Way};
use agent_update::install::copy::{CopyError, Copying};
use agent_update::install::{Facts, Flow, Holds, InstallError, Misfit, Source, install};
use bakelite_tests::slots::{
    Bytes, Dead, Memory, Op, Reads, Recorder, Started, Version, live, start, state,
};
use ota_bundle::Kind;

const SECTOR: usize = 512;
/// The first slot runs, and nobody knows what is in them.
const UNKNOWN: (Slot, Holds) = (
    Slot::A,
    Holds {
        running: None,
        other: None,
    },
);
/// All subsets of so many writes are tried.
const ALL_SUBSETS: usize = 8;

/// Which of the last writes a disk kept.
#[derive(Debug, Clone)]
enum Kept {
    /// Those with these numbers, in this order.
    These(Vec<usize>),
    /// These sectors of this one, and of the others all, those before, or none.
    Torn(usize, std::ops::Range<usize>, Others),
}

/// Which other writes were kept.
#[derive(Debug, Clone, Copy)]
enum Others {
    All,
    Before,
    None,
}

/// Returns all ways in which writes that were not flushed may have been kept.
fn ways(writes: &[(u64, Vec<u8>)]) -> Vec<Kept> {
    let count = writes.len();
    let mut all = Vec::new();
    if count <= ALL_SUBSETS {
        for mask in 0..1_u32 << count {
            all.push(Kept::These(
                (0..count)
                    .filter(|number| mask & (1 << number) != 0)
                    .collect(),
            ));
        }
    } else {
        for number in 0..count {
            all.push(Kept::These((0..number).collect()));
            all.push(Kept::These(
                (0..count).filter(|other| *other != number).collect(),
            ));
            all.push(Kept::These(vec![number]));
        }
    }
    for length in 2..=count {
        all.push(Kept::These((0..length).rev().collect()));
    }
    for (number, (_, bytes)) in writes.iter().enumerate() {
        let sectors = bytes.len() / SECTOR;
        for sector in 1..sectors {
            for others in [Others::All, Others::Before, Others::None] {
                all.push(Kept::Torn(number, 0..sector, others));
                all.push(Kept::Torn(number, sector..sectors, others));
                all.push(Kept::Torn(number, sector..sector + 1, others));
            }
        }
    }
    all
}

fn keep(disk: &mut Memory, writes: &[(u64, Vec<u8>)], kept: &Kept) {
    let mut put = |number: usize| {
        let (offset, bytes) = &writes[number];
        disk.write_at(*offset, bytes).unwrap();
    };
    match kept {
        Kept::These(numbers) => numbers.iter().copied().for_each(put),
        Kept::Torn(number, sectors, others) => {
            match others {
                Others::All => (0..writes.len())
                    .filter(|other| other != number)
                    .for_each(&mut put),
                Others::Before => (0..*number).for_each(&mut put),
                Others::None => {}
            }
            let (offset, bytes) = &writes[*number];
            let part = &bytes[sectors.start * SECTOR..sectors.end * SECTOR];
            disk.write_at(offset + (sectors.start * SECTOR) as u64, part)
                .unwrap();
        }
    }
}

/// Switches the device on in this state. Returns what is wrong.
fn judge(
    mut disk: Memory,
    old: &Version,
    new: &Version,
    way: Way,
    floor: u32,
) -> Result<(), String> {
    let words = |dead: Dead| dead.to_string();
    let started = start(&mut disk, false).map_err(words)?;
    let is_known = [old, new]
        .iter()
        .any(|version| version.root_hash.to_string() == started.root);
    if !is_known {
        return Err("it starts what is neither old nor new".into());
    }
    // Firmware that finds the good slot damaged walks on to the other one.
    if let Err(Dead::Root(why)) = start(&mut disk, true) {
        return Err(format!("a slot that is not whole can start: {why}"));
    }
    let found = state(&mut disk).rollback_index;
    if found < floor {
        return Err(format!("the rollback index fell from {floor} to {found}"));
    }
    let (mut disk, _) = live(&disk, new, way)?;
    let rests = start(&mut disk, false).map_err(words)?;
    if rests.root != new.root_hash.to_string() {
        return Err(format!(
            "it rests in slot {} with the old version",
            rests.slot
        ));
    }
    let after = state(&mut disk);
    if (after.good, after.rollback_index) != (rests.slot, 2) {
        return Err(format!("its state is wrong in the end: {after:?}"));
    }
    Ok(())
}

/// Tries every `step`-th state of a recorded update. Returns how many were tried, and how many there are.
fn try_all(way: Way, step: usize) -> (usize, usize) {
    let (old, new) = (
        Version::new("1.0", 1, 0..3),
        Version::new("2.0", 2, 250..270),
    );
    // The other slot holds an older version still, so that there is something to write over.
    let older = Version::new("0.9", 0, 100..140);
    let mut disk = Memory::flashed(&old);
    for (place, bytes) in [
        (bakelite_tests::slots::layout().boot(1).0, &older.boot),
        (bakelite_tests::slots::layout().root(1).0, &older.root),
    ] {
        disk.write_at(place, bytes).unwrap();
    }
    // It was kept once: what it holds is known by its hashes.
    let before = State {
        other: Some(Other {
            root: older.root_hash,
            version: older.name,
            rollback_index: 0,
        }),
        ..State::default()
    };
    let mut region = Region::read(&mut disk).unwrap();
    region.write(&mut disk, before).unwrap();
    disk.settle();
    let recorder = Recorder::new(disk.clone());
    let (_, starts) = live(&recorder, &new, way).unwrap();
    assert_eq!(starts, 2, "once into the new slot");
    let ops = recorder.ops.borrow().clone();
    try_every(disk, &ops, step, |disk, floor| {
        judge(disk, &old, &new, way, floor)
    })
}

/// Judges every `step`-th state that a disk may be in while this is done to it. Returns how many were tried, and how many there are.
fn try_every(
    mut disk: Memory,
    ops: &[Op],
    step: usize,
    judge: impl Fn(Memory, u32) -> Result<(), String> + Sync,
) -> (usize, usize) {
    let mut writes: Vec<(u64, Vec<u8>)> = Vec::new();
    let (mut tried, mut all, mut floor) = (0, 0, 0);
    for op in ops.iter().chain([&Op::Flush]) {
        match op {
            Op::Write(offset, bytes) => writes.push((*offset, bytes.clone())),
            Op::Flush => {
                let ways = ways(&writes);
                let chosen: Vec<&Kept> = ways
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| (all + at) % step == 0)
                    .map(|(_, kept)| kept)
                    .collect();
                all += ways.len();
                let next = AtomicUsize::new(0);
                let threads =
                    std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            while let Some(kept) = chosen.get(next.fetch_add(1, Ordering::Relaxed))
                            {
                                let mut disk = disk.clone();
                                keep(&mut disk, &writes, kept);
                                if let Err(error) = judge(disk, floor) {
                                    panic!(
                                        "{kept:?} of {} writes at {:?}: {error}",
                                        writes.len(),
                                        writes.iter().map(|w| (w.0, w.1.len())).collect::<Vec<_>>()
                                    );
                                }
                            }
                        });
                    }
                });
                tried += chosen.len();
                for (offset, bytes) in writes.drain(..) {
                    disk.write_at(offset, &bytes).unwrap();
                }
                disk.settle();
                floor = state(&mut disk).rollback_index;
            }
        }
    }
    (tried, all)
}

/// Every so many states are tried: all of them by `scripts/crash-states`, a sample without it.
#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is the caller's choice"
)]
fn step() -> usize {
    std::env::var("BAKELITE_CRASH_STATES").map_or(101, |step| step.parse().expect("a number"))
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_device_that_starts() {
    for way in [Way::OneShot, Way::Counted] {
        let (tried, all) = try_all(way, step());
        println!("{way:?}: {tried} of {all} states tried, each started");
        assert!(tried > 100 && all > 10_000);
    }
}

/// Copies the first slot, which runs, into the second.
fn copy(disk: &mut impl Disk, version: &Version) -> Result<(), CopyError> {
    let mut copying = Copying::begin(disk, Slot::A, version.root_hash)?;
    while !copying.step(disk)? {}
    Ok(())
}

#[test]
fn a_copy_is_whole_or_does_not_start() {
    let version = Version::new("1.0", 1, 0..3);
    let older = Version::new("0.9", 0, 100..140);
    // Whoever flashes a card leaves what was there before where the image has nothing.
    let mut disk = Memory::flashed(&version);
    for (place, bytes) in [
        (bakelite_tests::slots::layout().boot(1).0, &older.boot),
        (bakelite_tests::slots::layout().root(1).0, &older.root),
    ] {
        disk.write_at(place, bytes).unwrap();
    }
    disk.settle();
    let mut recorder = Recorder::new(disk.clone());
    copy(&mut recorder, &version).unwrap();
    let ops = recorder.ops.borrow().clone();
    let own = Ok(version.root_hash.to_string());
    let judge = |mut disk: Memory, _: u32| {
        let root = |started: Result<_, Dead>| started.map(|started: Started| started.root);
        if root(start(&mut disk, false)) != own {
            return Err("the slot that runs does not start".into());
        }
        match root(start(&mut disk, true)) {
            Err(Dead::Firmware(_)) => {}
            other if other == own => {}
            // Until the copy begins.
            Ok(other) if other == older.root_hash.to_string() => {}
            other => return Err(format!("a copy that is not whole can start: {other:?}")),
        }
        copy(&mut disk, &version).map_err(|error| error.to_string())?;
        if root(start(&mut disk, true)) == own {
            Ok(())
        } else {
            Err("the copy does not start in the end".into())
        }
    };
    let (tried, all) = try_every(disk, &ops, step(), judge);
    println!("a copy: {tried} of {all} states tried, each started");
    assert!(tried > 100 && all > 10_000);
}

#[test]
fn a_slot_that_is_damaged_is_not_copied_and_one_that_is_there_is_not_written() {
    let version = Version::new("1.0", 1, 0..3);
    let from = bakelite_tests::slots::layout().root(0).0;
    let mut disk = Memory::flashed(&version);
    for at in [1024, 5000, version.root.len() as u64 - 9000] {
        let mut damaged = disk.clone();
        damaged.write_at(from + at, b"not this").unwrap();
        let refused = copy(&mut damaged, &version);
        let is_refused = matches!(refused, Err(CopyError::Damaged { slot: Slot::A }));
        // The hashes behind the file system are another matter: who copies them copies them.
        assert_eq!(is_refused, at < 9000, "{refused:?}");
        if is_refused {
            assert!(matches!(start(&mut damaged, true), Err(Dead::Firmware(_))));
        }
    }
    copy(&mut disk, &version).unwrap();
    let mut recorder = Recorder::new(disk.clone());
    copy(&mut recorder, &version).unwrap();
    let ops = recorder.ops.borrow().clone();
    let writes = ops.iter().filter_map(|op| match op {
        Op::Write(_, bytes) => Some(bytes.len()),
        Op::Flush => None,
    });
    assert_eq!(writes.collect::<Vec<_>>(), [SECTOR, SECTOR]);
    // What the card loses is told, and does not start.
    let mut forgetful = Forgets(Memory::flashed(&version), 2);
    let refused = copy(&mut forgetful, &version);
    assert!(matches!(refused, Err(CopyError::NotKept)), "{refused:?}");
    assert!(matches!(
        start(&mut forgetful.0, true),
        Err(Dead::Firmware(_))
    ));
}

#[test]
fn the_first_update_over_a_copy_writes_only_what_differs() {
    let (version, new) = (
        Version::new("1.0", 1, 0..3),
        Version::new("2.0", 2, 300..310),
    );
    let mut disk = Memory::flashed(&version);
    copy(&mut disk, &version).unwrap();
    let holds = Holds {
        running: Some(version.root_hash),
        other: Some(version.root_hash),
    };
    let (slots, source) = ((Slot::A, holds), &mut Bytes(&new.bundle));
    let done = install(&mut disk, &new.verified, slots, source, &mut |_| Flow::On).unwrap();
    assert!(done.written + (1 << 20) <= done.done, "{done:?}");
    let started = start(&mut disk, true).map(|started| started.root);
    assert_eq!(started, Ok(new.root_hash.to_string()));
}

/// A source that counts what is asked of it.
struct Counted<'b>(Bytes<'b>, usize);

impl Source for Counted<'_> {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        self.1 += 1;
        self.0.read(offset, length, bytes)
    }
}

#[test]
fn what_is_there_is_neither_fetched_nor_written_again() {
    let (old, new) = (Version::new("1.0", 1, 0..3), Version::new("2.0", 2, 0..3));
    let mut disk = Memory::flashed(&old);
    let mut source = Counted(Bytes(&new.bundle), 0);
    let first = install(&mut disk, &new.verified, UNKNOWN, &mut source, &mut |_| {
        Flow::On
    })
    .unwrap();
    assert_eq!(first.done, first.total);
    // Of the root, the first segment differs, and the last, where the hashes are; the boot slot has one.
    assert_eq!((source.1, new.verified.segments(Kind::Root).len()), (3, 4));
    let mut source = Counted(Bytes(&new.bundle), 0);
    let again = install(&mut disk, &new.verified, UNKNOWN, &mut source, &mut |_| {
        Flow::On
    })
    .unwrap();
    // The head of the boot slot was destroyed first, and comes from the bundle.
    assert_eq!((again.written, source.1), (0, 1));
}

#[test]
fn going_on_after_a_stop_fetches_only_what_is_missing() {
    let (old, new) = (Version::new("1.0", 1, 0..3), Version::new("2.0", 2, 0..600));
    let mut disk = Memory::flashed(&old);
    for stop_after in 1..=2 {
        let mut left = stop_after;
        let mut source = Counted(Bytes(&new.bundle), 0);
        let stopped = install(&mut disk, &new.verified, UNKNOWN, &mut source, &mut |_| {
            left -= 1;
            if left == 0 { Flow::Stop } else { Flow::On }
        });
        assert!(matches!(stopped, Err(InstallError::Stopped)));
        assert_eq!(source.1, 1, "what an earlier one wrote is there");
        assert!(
            start(&mut disk, false).is_ok(),
            "the running slot is not touched"
        );
        assert!(start(&mut disk, true).is_err(), "a half slot cannot start");
    }
}

#[test]
fn a_bundle_for_another_device_writes_nothing() {
    let (old, new) = (Version::new("1.0", 1, 0..3), Version::new("2.0", 2, 0..3));
    let facts = |product: &str, board: &str| Facts {
        product: product.into(),
        compatible: vec![board.into(), "brcm,bcm2711".into()],
    };
    let manifest = new.verified.manifest();
    assert_eq!(facts("kvm", "raspberrypi,4-model-b").take(manifest), Ok(()));
    let board = facts("kvm", "raspberrypi,3-model-b")
        .take(manifest)
        .unwrap_err();
    assert!(
        board
            .to_string()
            .contains("this board is raspberrypi,3-model-b"),
        "{board}"
    );
    let product = facts("other", "raspberrypi,4-model-b")
        .take(manifest)
        .unwrap_err();
    assert!(product.to_string().contains("“kvm”"), "{product}");
    // A disk that was flashed with another product.
    let mut recorder = Recorder::new(Memory::flashed(&old));
    let mut sector = [0; SECTOR];
    recorder.read_at(0, &mut sector).unwrap();
    sector[440] ^= 1;
    recorder.write_at(0, &sector).unwrap();
    recorder.ops.borrow_mut().clear();
    let refused = install(
        &mut recorder,
        &new.verified,
        UNKNOWN,
        &mut Bytes(&new.bundle),
        &mut |_| Flow::On,
    );
    assert!(
        matches!(refused, Err(InstallError::Misfit(Misfit::Disk { .. }))),
        "{refused:?}"
    );
    assert!(recorder.ops.borrow().is_empty());
}

#[test]
fn a_source_that_lies_and_a_disk_that_forgets_leave_the_slot_unbootable() {
    /// Changes one byte of the third thing that it is asked for.
    struct Lies<'b>(Counted<'b>);
    impl Source for Lies<'_> {
        fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> std::io::Result<()> {
            self.0.read(offset, length, bytes)?;
            if self.0.1 == 3 {
                bytes[9] ^= 1;
            }
            Ok(())
        }
    }
    let (old, new) = (Version::new("1.0", 1, 0..3), Version::new("2.0", 2, 0..600));
    let mut disk = Memory::flashed(&old);
    let mut source = Lies(Counted(Bytes(&new.bundle), 0));
    let error = install(&mut disk, &new.verified, UNKNOWN, &mut source, &mut |_| {
        Flow::On
    })
    .unwrap_err();
    assert!(matches!(error, InstallError::Segment(_)), "{error}");
    assert!(start(&mut disk, true).is_err() && start(&mut disk, false).is_ok());

    // What the boot slot loses is told at once: nothing looks at it later.
    let lose = |number| {
        let mut forgetful = Forgets(Memory::flashed(&old), number);
        let source = &mut Bytes(&new.bundle);
        let done = install(&mut forgetful, &new.verified, UNKNOWN, source, &mut |_| {
            Flow::On
        });
        assert!(start(&mut forgetful.0, false).is_ok());
        (done, start(&mut forgetful.0, true))
    };
    let (done, started) = lose(5);
    assert!(matches!(done, Err(InstallError::NotKept)), "{done:?}");
    assert!(matches!(started, Err(Dead::Firmware(_))), "{started:?}");
    // What the root slot loses dm-verity finds.
    let (_, started) = lose(2);
    assert!(matches!(started, Err(Dead::Root(_))), "{started:?}");
}

#[test]
fn what_root_hashes_vouch_for_is_not_read_and_what_they_should_not_is_seen() {
    let (older, old, new) = (
        Version::new("0.9", 0, 300..310),
        Version::new("1.0", 1, 0..3),
        Version::new("2.0", 2, 300..310),
    );
    let other = bakelite_tests::slots::layout().root(1).0;
    let run = |holds: Holds, damage: &[u64]| {
        let mut disk = Memory::flashed(&old);
        disk.write_at(other, &older.root).unwrap();
        for at in damage {
            disk.write_at(*at, b"not this").unwrap();
        }
        let (mut disk, mut source) = (Reads(disk, 0), Counted(Bytes(&new.bundle), 0));
        let places = (Slot::A, holds);
        let done = install(&mut disk, &new.verified, places, &mut source, &mut |_| {
            Flow::On
        });
        assert_eq!(
            done.unwrap().done,
            new.root.len() as u64 + new.boot.len() as u64
        );
        let started = start(&mut disk.0, true);
        (started.map(|started| started.root), disk.1, source.1)
    };
    let (right, nothing) = (
        Holds {
            running: Some(old.root_hash),
            other: Some(older.root_hash),
        },
        Holds::default(),
    );
    let whole = Ok(new.root_hash.to_string());
    let (started, all, asked) = run(nothing, &[]);
    assert_eq!(
        (&started, asked),
        (&whole, 3),
        "the second segment, the hashes, the boot slot"
    );
    let (started, some, asked) = run(right, &[]);
    assert_eq!((&started, asked), (&whole, 3));
    // Three segments less, but for their hashes.
    assert!(some + (5 << 19) < all, "{some} of {all} bytes");
    // Hashes of something else, or that are damaged: all is read.
    let wrong = Holds {
        running: Some(older.root_hash),
        other: Some(old.root_hash),
    };
    let (started, as_many, asked) = run(wrong, &[]);
    assert_eq!((&started, asked), (&whole, 3));
    assert!(as_many >= all, "{as_many} of {all} bytes");
    let hashes = new.root.len() as u64 - 2000;
    let (started, as_many, _) = run(right, &[other + hashes]);
    assert_eq!(started, whole);
    assert!(as_many > some, "{as_many} and {some} bytes");
    // A slot that somebody has written a segment to since. (Of less, only the trial is sure to find it.)
    let segment: Vec<u64> = (512..768).map(|block| other + block * 4096).collect();
    let (started, as_many, _) = run(right, &segment);
    assert_eq!(started, whole);
    assert!(as_many > some, "{as_many} and {some} bytes");
}

/// A disk that loses the write with this number.
struct Forgets(Memory, usize);

impl Disk for Forgets {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, bytes)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.1 = self.1.wrapping_sub(1);
        if self.1 == 0 {
            Ok(())
        } else {
            self.0.write_at(offset, bytes)
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
    fn length(&mut self) -> std::io::Result<u64> {
        self.0.length()
    }
}
