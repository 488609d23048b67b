//! Pictures for any number of viewers: each gets the newest when it can take one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

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

/// Between the capture and its viewers.
#[derive(Debug)]
pub struct Hub {
    latest: watch::Sender<Option<Arc<Picture>>>,
    viewers: Mutex<usize>,
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
    hub: Arc<Hub>,
    latest: watch::Receiver<Option<Arc<Picture>>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            latest: watch::Sender::new(None),
            viewers: Mutex::new(0),
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
        *self.viewers.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.came.notify_all();
        Watcher {
            hub: Arc::clone(self),
            latest,
        }
    }

    /// Returns how many watch.
    pub fn viewers(&self) -> usize {
        *self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
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
        let viewers = self.viewers.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |viewers: &mut usize| *viewers == 0 && !self.ended();
        drop(self.came.wait_while(viewers, waiting));
        !self.ended()
    }

    /// Waits for so long, or until the hub ends. For pauses of the capture.
    pub fn pause(&self, limit: Duration) {
        let viewers = self.viewers.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.came
                .wait_timeout_while(viewers, limit, |_| !self.ended()),
        );
    }

    /// Ends the capture.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.viewers.lock());
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

impl Drop for Watcher {
    fn drop(&mut self) {
        *self
            .hub
            .viewers
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
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
