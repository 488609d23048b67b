//! One image to many disks: unpacked once, hashed once. A disk that fails ends alone. One that is so slow that
//! the others wait for it goes on alone, with an unpacking of its own.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::chunk::{CHUNK, Chunk, Pool};
use super::disk::BlockDevice;
use super::image::{Digester, Image};
use super::target::{Failure, Plan, Stage, Target, Written};
use crate::source::Source;

/// Pieces that wait for a disk.
const QUEUE: usize = 4;
/// Others wait this long for a slow disk, all together, before it goes on alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause while the slowest queue is full.
const PAUSE: Duration = Duration::from_millis(2);

/// How far a disk is.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes of the image that were taken.
    pub taken: AtomicU64,
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

/// A disk's end of the queue, as the one who unpacks sees it.
struct Lane {
    queue: Option<SyncSender<Arc<Chunk>>>,
    waiting: Arc<AtomicUsize>,
    report: Arc<Report>,
}

/// Writes an image to all of them, and returns how each ended.
pub fn run(
    source: &Source,
    settings: &Settings,
    disks: &[Spread<'_>],
) -> Vec<Result<Written, Failure>> {
    let whole = Whole::new();
    let (mut lanes, mut ends) = (Vec::new(), Vec::new());
    for disk in disks {
        let (queue, end) = sync_channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        ends.push((end, Arc::clone(&waiting)));
        lanes.push(Lane {
            queue: Some(queue),
            waiting,
            report: Arc::clone(&disk.report),
        });
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = disks
            .iter()
            .zip(ends)
            .map(|(disk, (end, waiting))| {
                let whole = &whole;
                scope.spawn(move || one(source, settings, disk, &end, &waiting, whole))
            })
            .collect();
        let outcome = unpack(source, settings, &mut lanes);
        whole
            .set(outcome)
            .unwrap_or_else(|_| unreachable!("set once"));
        // Each disk now sees the end of its queue.
        drop(lanes);
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            let panicked = |_| Err(Failure::Image("the thread of this disk ended".into()));
            thread.join().unwrap_or_else(panicked)
        };
        threads.into_iter().map(ended).collect()
    })
}

/// Unpacks, hashes and hands out.
fn unpack(source: &Source, settings: &Settings, lanes: &mut [Lane]) -> Result<Image, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the image cannot be read: {error}");
    let mut reader = source.open().map_err(|error| failed(&error))?;
    // One is filled while the others wait or are written.
    let pool = Pool::new(lanes.len().min(2) * QUEUE + 4);
    let mut digester = Digester::new(&settings.plan);
    let (mut offset, mut waited) = (0, Duration::ZERO);
    loop {
        let chunk = pool.fill(&mut *reader, offset);
        let Some(chunk) = chunk.map_err(|error| failed(&error))? else {
            return digester.finish();
        };
        offset += chunk.bytes().len() as u64;
        digester.take(&chunk)?;
        for at in 0..lanes.len() {
            hand_out(lanes, at, &chunk, settings.patience, &mut waited);
        }
    }
}

/// Gives a piece to a disk. Waits for a slow one, unless others have nothing to do meanwhile for long.
fn hand_out(
    lanes: &mut [Lane],
    at: usize,
    chunk: &Arc<Chunk>,
    patience: Duration,
    waited: &mut Duration,
) {
    loop {
        let Some(queue) = &lanes[at].queue else {
            return;
        };
        lanes[at].waiting.fetch_add(1, Ordering::SeqCst);
        match queue.try_send(Arc::clone(chunk)) {
            Ok(()) => return,
            Err(TrySendError::Disconnected(_)) => {
                // It failed; the others go on.
                lanes[at].queue = None;
                return;
            }
            Err(TrySendError::Full(_)) => {}
        }
        lanes[at].waiting.fetch_sub(1, Ordering::SeqCst);
        let is_idle = |(other, lane): (usize, &Lane)| {
            other != at && lane.queue.is_some() && lane.waiting.load(Ordering::SeqCst) == 0
        };
        let began = Instant::now();
        std::thread::sleep(PAUSE);
        if lanes.iter().enumerate().any(is_idle) {
            *waited += began.elapsed();
        }
        if *waited > patience {
            *waited = Duration::ZERO;
            lanes[at].report.is_alone.store(true, Ordering::Relaxed);
            lanes[at].queue = None;
        }
    }
}

/// The way of one disk.
fn one(
    source: &Source,
    settings: &Settings,
    disk: &Spread<'_>,
    queue: &Receiver<Arc<Chunk>>,
    waiting: &AtomicUsize,
    whole: &Whole,
) -> Result<Written, Failure> {
    let report = &disk.report;
    report.set(Stage::Clear);
    let mut target = Target::begin(disk.disk, settings.plan.clone())?;
    report.set(Stage::Write);
    while let Ok(chunk) = queue.recv() {
        waiting.fetch_sub(1, Ordering::SeqCst);
        target.take(&chunk)?;
        report.taken.store(target.end(), Ordering::Relaxed);
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
    let mut reader = source.open().map_err(failed)?;
    let from = target.end();
    let mut passed = reader.by_ref().take(from);
    std::io::copy(&mut passed, &mut std::io::sink()).map_err(failed)?;
    let pool = Pool::new(2);
    while let Some(chunk) = pool.fill(&mut *reader, target.end()).map_err(failed)? {
        target.take(&chunk)?;
        report.taken.store(target.end(), Ordering::Relaxed);
    }
    Ok(())
}

const _: () = assert!(CHUNK.is_multiple_of(super::chunk::ALIGNMENT));
