//! Pictures for any number of viewers: each gets the newest when it can take one. H.264 goes beside
//! them ([`crate::units`]).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::units::{Unit, UnitWatcher, Units};

/// A picture, encoded once.
#[derive(Debug)]
pub struct Picture {
    /// A whole JPEG.
    pub jpeg: Bytes,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Number of the frame; numbers grow, and some are left out.
    pub number: u64,
    /// Captured, by the monotonic clock.
    pub captured: Duration,
    /// Encoded, by the monotonic clock.
    pub encoded: Duration,
}

/// What a viewer watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole pictures.
    Pictures,
    /// H.264.
    Units,
}

/// How many watch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Viewers {
    pictures: usize,
    units: usize,
}

impl Viewers {
    fn all(self) -> usize {
        self.pictures + self.units
    }

    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Pictures => &mut self.pictures,
            Kind::Units => &mut self.units,
        }
    }
}

/// A viewer's place. While it lives, the capture runs.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    kind: Kind,
}

impl Seat {
    /// Takes a place.
    pub(crate) fn take(hub: &Arc<Hub>, kind: Kind) -> Self {
        *hub.seats().of(kind) += 1;
        hub.came.notify_all();
        let hub = Arc::clone(hub);
        Self { hub, kind }
    }

    /// Returns the hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.hub.seats().of(self.kind) -= 1;
    }
}

/// Between the capture and its viewers.
#[derive(Debug)]
pub struct Hub {
    latest: watch::Sender<Option<Arc<Picture>>>,
    pub(crate) units: Units,
    viewers: Mutex<Viewers>,
    came: Condvar,
    ended: AtomicBool,
    published: AtomicU64,
    held: AtomicUsize,
    streaming: Mutex<bool>,
    stopped: Condvar,
}

/// While it lives, nothing streams: the device can be changed.
#[derive(Debug)]
pub struct Hold<'a>(&'a Hub);

/// While it lives, the device streams.
#[derive(Debug)]
pub(crate) struct Streaming<'a>(&'a Hub);

/// One that watches. While it lives, the capture runs.
#[derive(Debug)]
pub struct Watcher {
    _seat: Seat,
    latest: watch::Receiver<Option<Arc<Picture>>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            latest: watch::Sender::new(None),
            units: Units::default(),
            viewers: Mutex::default(),
            came: Condvar::new(),
            ended: AtomicBool::new(false),
            published: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            streaming: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }
}

impl Hub {
    /// Lets one watch from now on: the pictures that come, not the one of before.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        let mut latest = self.latest.subscribe();
        latest.mark_unchanged();
        Watcher {
            _seat: Seat::take(self, Kind::Pictures),
            latest,
        }
    }

    /// Lets one watch H.264 from now on.
    pub fn watch_units(self: &Arc<Self>) -> UnitWatcher {
        UnitWatcher::new(self)
    }

    fn seats(&self) -> MutexGuard<'_, Viewers> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many watch.
    pub fn viewers(&self) -> usize {
        self.seats().all()
    }

    /// Whether somebody watches this.
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        *self.seats().of(kind) > 0
    }

    /// Returns the last picture, however old it is.
    pub fn last(&self) -> Option<Arc<Picture>> {
        self.latest.borrow().clone()
    }

    /// Returns how many pictures were published.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Publishes a picture. One that is older than the last is dropped: encoders may overtake.
    pub fn publish(&self, picture: Picture) {
        self.latest.send_if_modified(|last| {
            let is_newer = last
                .as_ref()
                .is_none_or(|last| last.number < picture.number);
            if is_newer {
                *last = Some(Arc::new(picture));
                self.published.fetch_add(1, Ordering::Relaxed);
            }
            is_newer
        });
    }

    /// Publishes an access unit of H.264.
    pub fn publish_unit(&self, unit: Unit) {
        self.units.publish(unit);
    }

    /// Stops the stream and waits, for at most so long, until it has stopped. It goes on when the hold
    /// is dropped.
    pub fn hold(&self, limit: Duration) -> Hold<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        let streaming = self
            .streaming
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(
            self.stopped
                .wait_timeout_while(streaming, limit, |streams| *streams),
        );
        Hold(self)
    }

    /// Whether the stream has to stop.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0
    }

    /// Notes that the device streams.
    pub(crate) fn streams(&self) -> Streaming<'_> {
        *self
            .streaming
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        Streaming(self)
    }

    /// Waits until somebody watches. Returns false when the hub has ended.
    pub fn wait_for_viewers(&self) -> bool {
        let waiting = |viewers: &mut Viewers| viewers.all() == 0 && !self.ended();
        drop(self.came.wait_while(self.seats(), waiting));
        !self.ended()
    }

    /// Waits for so long, or until the hub ends. For pauses of the capture.
    pub fn pause(&self, limit: Duration) {
        let waited = self
            .came
            .wait_timeout_while(self.seats(), limit, |_| !self.ended());
        drop(waited);
    }

    /// Ends the capture.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.seats());
        self.came.notify_all();
    }

    /// Whether the hub has ended.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        *self
            .0
            .streaming
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = false;
        self.0.stopped.notify_all();
    }
}

impl Watcher {
    /// Waits for a picture that this viewer has not seen, and returns the newest.
    pub async fn next(&mut self) -> Option<Arc<Picture>> {
        loop {
            self.latest.changed().await.ok()?;
            if let Some(picture) = self.latest.borrow_and_update().clone() {
                return Some(picture);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(number: u64) -> Picture {
        Picture {
            jpeg: Bytes::new(),
            width: 1,
            height: 1,
            number,
            captured: Duration::ZERO,
            encoded: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_slow_viewer_gets_the_newest_and_costs_the_others_nothing() {
        let hub = Arc::new(Hub::default());
        hub.publish(picture(1));
        let (mut fast, mut slow) = (hub.watch(), hub.watch());
        for number in 2..=5 {
            hub.publish(picture(number));
            assert_eq!(fast.next().await.unwrap().number, number);
        }
        assert_eq!(slow.next().await.unwrap().number, 5);
        hub.publish(picture(4));
        assert_eq!(hub.last().unwrap().number, 5, "overtaken");
    }

    #[test]
    fn a_hold_waits_until_the_stream_has_stopped() {
        let hub = Arc::new(Hub::default());
        let streaming = std::thread::spawn({
            let hub = Arc::clone(&hub);
            move || {
                let _streaming = hub.streams();
                while !hub.is_held() {
                    std::thread::yield_now();
                }
            }
        });
        while !*hub.streaming.lock().unwrap() && !streaming.is_finished() {
            std::thread::yield_now();
        }
        let hold = hub.hold(Duration::from_mins(1));
        assert!(!*hub.streaming.lock().unwrap());
        drop(hold);
        assert!(!hub.is_held());
        streaming.join().unwrap();
    }

    #[test]
    fn the_capture_sleeps_while_nobody_watches() {
        let hub = Arc::new(Hub::default());
        let watcher = hub.watch();
        assert!(hub.wait_for_viewers());
        drop(watcher);
        assert_eq!(hub.viewers(), 0);
        let waiting = std::thread::spawn({
            let hub = Arc::clone(&hub);
            move || hub.wait_for_viewers()
        });
        hub.end();
        assert!(!waiting.join().unwrap());
    }
}
