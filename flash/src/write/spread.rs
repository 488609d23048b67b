//! One image to many disks: unpacked once, hashed once. A disk that fails ends alone. One that is so slow that
//! the others wait for it goes on alone, with an unpacking of its own.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::chunk::{CHUNK, Chunk};
use super::disk::BlockDevice;
use super::image::{Digester, Image};
use super::queue::{Pushed, Queue};
use super::target::{Failure, Plan, Stage, Target, Written};
use crate::memory::{ALIGNMENT, Pool};
use crate::settings::Patch;
use crate::source::Source;

/// Pieces that wait for a disk.
const QUEUE: usize = 4;
/// Others wait this long for a slow disk, all together, before it goes on alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Looks so often whether others have nothing to do, while a queue is full.
const LOOK: Duration = Duration::from_millis(10);

/// How far a disk is.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes that were written.
    pub written: AtomicU64,
    /// Bytes that were read back.
    pub read_back: AtomicU64,
    stage: AtomicUsize,
    is_alone: AtomicBool,
}

impl Report {
    /// Returns what it is doing.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Clear,
            1 => Stage::Write,
            2 => Stage::Verify,
            _ => Stage::Finish,
        }
    }

    /// Whether it was so slow that it has an unpacking of its own.
    pub fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed)
    }

    fn set(&self, stage: Stage) {
        let number = match stage {
            Stage::Clear => 0,
            Stage::Write => 1,
            Stage::Verify => 2,
            Stage::Finish => 3,
        };
        self.stage.store(number, Ordering::Relaxed);
    }
}

/// How it is done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is written.
    pub plan: Plan,
    /// How long others wait for a slow disk.
    pub patience: Duration,
}

impl Settings {
    /// The usual ones for a plan.
    pub fn of(plan: Plan) -> Self {
        let patience = PATIENCE;
        Self { plan, patience }
    }
}

/// A disk and how far it is.
pub struct Spread<'d> {
    /// The disk.
    pub disk: &'d dyn BlockDevice,
    /// What it has otherwise than the image.
    pub patch: Patch,
    /// How far it is.
    pub report: Arc<Report>,
}

impl std::fmt::Debug for Spread<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spread")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// What came of the image: it is there for every disk when the last piece went out.
type Whole = OnceLock<Result<Image, String>>;

/// A disk's queue, as the one who unpacks sees it.
struct Lane {
    queue: Arc<Queue<Arc<Chunk>>>,
    report: Arc<Report>,
}

/// A disk that ended, however it did, takes nothing any more and holds nothing: the others need not wait for it.
struct Ending<'q>(&'q Queue<Arc<Chunk>>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Writes an image to all of them, and returns how each ended.
pub fn run(
    source: &Source,
    settings: &Settings,
    disks: &[Spread<'_>],
) -> Vec<Result<Written, Failure>> {
    let whole = Whole::new();
    let lane = |disk: &Spread<'_>| Lane {
        queue: Arc::new(Queue::new(QUEUE)),
        report: Arc::clone(&disk.report),
    };
    let lanes: Vec<Lane> = disks.iter().map(lane).collect();
    std::thread::scope(|scope| {
        let begin = |(disk, lane): (_, &Lane)| {
            let (whole, queue) = (&whole, Arc::clone(&lane.queue));
            scope.spawn(move || {
                let _end = Ending(&queue);
                one(source, settings, disk, &queue, whole)
            })
        };
        let threads: Vec<_> = disks.iter().zip(&lanes).map(begin).collect();
        let outcome = unpack(source, settings, &lanes);
        whole
            .set(outcome)
            .unwrap_or_else(|_| unreachable!("set once"));
        for lane in &lanes {
            lane.queue.close();
        }
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            let panicked = |_| Err(Failure::Image("the thread of this disk ended".into()));
            thread.join().unwrap_or_else(panicked)
        };
        threads.into_iter().map(ended).collect()
    })
}

/// Unpacks and hands out, and has it hashed meanwhile.
fn unpack(source: &Source, settings: &Settings, lanes: &[Lane]) -> Result<Image, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the image cannot be read: {error}");
    let mut unpacked = source.open().map_err(|error| failed(&error))?;
    let pool = Pool::new(CHUNK);
    let mut digester = Digester::new(&settings.plan);
    let (pieces, to_hash) = sync_channel::<Arc<Chunk>>(QUEUE);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            for chunk in to_hash {
                digester.take(&chunk)?;
            }
            digester.finish()
        });
        let (mut offset, mut waited) = (0, Duration::ZERO);
        let mut next = |offset| {
            let chunk = Chunk::next(&mut unpacked, &pool, offset);
            chunk.map_err(|error| failed(&error))
        };
        while let Some(chunk) = next(offset)? {
            offset += chunk.bytes().len() as u64;
            if pieces.send(Arc::clone(&chunk)).is_err() {
                // The image is not what it should be.
                break;
            }
            for at in 0..lanes.len() {
                hand_out(lanes, at, &chunk, settings.patience, &mut waited);
            }
        }
        drop(pieces);
        let ended = |_panicked| Err("the thread that hashes ended unexpectedly".into());
        let image = hashing.join().unwrap_or_else(ended)?;
        unchanged(source)?;
        Ok(image)
    })
}

/// What was checked before is what was written only if nobody wrote to the file meanwhile.
fn unchanged(source: &Source) -> Result<(), String> {
    let changed = || Err("the image's file was changed while it was written".into());
    if source.is_unchanged() {
        Ok(())
    } else {
        changed()
    }
}

/// Gives a piece to a disk. Waits for a slow one, unless others have nothing to do meanwhile for long.
fn hand_out(
    lanes: &[Lane],
    at: usize,
    chunk: &Arc<Chunk>,
    patience: Duration,
    waited: &mut Duration,
) {
    let lane = &lanes[at];
    loop {
        let began = Instant::now();
        match lane.queue.push(chunk, LOOK) {
            // One that failed: the others go on.
            Pushed::Taken | Pushed::Closed => return,
            Pushed::Full => {}
        }
        let is_idle = |(other, lane): (usize, &Lane)| {
            other != at && !lane.queue.is_closed() && lane.queue.is_empty()
        };
        if lanes.iter().enumerate().any(is_idle) {
            *waited += began.elapsed();
        }
        if *waited > patience {
            *waited = Duration::ZERO;
            lane.report.is_alone.store(true, Ordering::Relaxed);
            lane.queue.abandon();
            return;
        }
    }
}

/// The way of one disk.
fn one(
    source: &Source,
    settings: &Settings,
    disk: &Spread<'_>,
    queue: &Queue<Arc<Chunk>>,
    whole: &Whole,
) -> Result<Written, Failure> {
    let report = &disk.report;
    report.set(Stage::Clear);
    let mut target = Target::begin(disk.disk, settings.plan.clone(), disk.patch.clone())?;
    report.set(Stage::Write);
    while let Some(chunk) = queue.pop() {
        target.take(&chunk)?;
        report.written.store(target.written(), Ordering::Relaxed);
    }
    if report.is_alone() {
        go_on_alone(source, &mut target, report)?;
    }
    let image = match whole.wait() {
        Ok(image) => image,
        Err(error) => return Err(Failure::Image(error.clone())),
    };
    if target.end() != image.size() {
        let text = "the image changed while it was written".into();
        return Err(Failure::Image(text));
    }
    target.finish(image, &|stage, done| {
        report.set(stage);
        if stage == Stage::Verify {
            report.read_back.store(done, Ordering::Relaxed);
        }
    })
}

/// Unpacks once more, for one disk, from where it was.
fn go_on_alone(source: &Source, target: &mut Target<'_>, report: &Report) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let text = format!("the image cannot be read once more: {error}");
        Failure::Image(text)
    };
    let mut unpacked = source.open().map_err(failed)?;
    let from = target.end();
    let mut passed = unpacked.by_ref().take(from);
    std::io::copy(&mut passed, &mut std::io::sink()).map_err(failed)?;
    let pool = Pool::new(CHUNK);
    let mut next = |offset| Chunk::next(&mut unpacked, &pool, offset).map_err(failed);
    while let Some(chunk) = next(target.end())? {
        target.take(&chunk)?;
        report.written.store(target.written(), Ordering::Relaxed);
    }
    unchanged(source).map_err(Failure::Image)
}

const _: () = assert!(CHUNK.is_multiple_of(ALIGNMENT));
