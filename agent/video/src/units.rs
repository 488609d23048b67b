//! H.264 for any number of viewers. Unlike whole pictures, none can be left out: who falls behind
//! goes on at the next key frame, and one is made for him.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::hub::{Hub, Kind, Seat};

/// Units that wait for a viewer: a quarter of a second of pictures.
const QUEUE: usize = 8;

/// An encoded picture of a stream (access unit, H.264 §3.1).
#[derive(Debug)]
pub struct Unit {
    /// NAL units with start codes (Annex B).
    pub bytes: Bytes,
    /// Whether decoding can begin here.
    pub is_key: bool,
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

/// Between the encoder and its viewers.
#[derive(Debug)]
pub(crate) struct Units {
    sender: broadcast::Sender<Arc<Unit>>,
    is_key_wanted: AtomicBool,
    published: AtomicU64,
    encoder: Mutex<Option<String>>,
}

/// One that watches. While it lives, the capture runs.
#[derive(Debug)]
pub struct UnitWatcher {
    seat: Seat,
    units: broadcast::Receiver<Arc<Unit>>,
    is_in_step: bool,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(QUEUE),
            is_key_wanted: AtomicBool::new(true),
            published: AtomicU64::new(0),
            encoder: Mutex::new(None),
        }
    }
}

impl Units {
    /// Has the next unit be a key frame.
    pub(crate) fn want_key(&self) {
        self.is_key_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether the next unit has to be a key frame; asked once for each.
    pub(crate) fn take_wish(&self) -> bool {
        self.is_key_wanted.swap(false, Ordering::Relaxed)
    }

    /// Publishes a unit.
    pub(crate) fn publish(&self, unit: Unit) {
        self.published.fetch_add(1, Ordering::Relaxed);
        // Nobody listens any more: then nobody misses it.
        let _receivers = self.sender.send(Arc::new(unit));
    }

    /// Says what encodes.
    pub(crate) fn name_encoder(&self, name: &str) {
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        if encoder.as_deref() != Some(name) {
            *encoder = Some(name.to_owned());
        }
    }

    /// Returns what encoded last.
    pub(crate) fn encoder(&self) -> Option<String> {
        let encoder = self.encoder.lock();
        encoder.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many were published.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }
}

impl UnitWatcher {
    /// Lets one watch from now on.
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        hub.units.want_key();
        Self {
            units: hub.units.sender.subscribe(),
            seat: Seat::take(hub, Kind::Units),
            is_in_step: false,
        }
    }

    /// Has the next unit be a key frame, for a viewer that lost something.
    pub fn want_key(&self) {
        self.seat.hub().units.want_key();
    }

    /// Waits for the next unit. The first is a key frame, and so is that after a gap.
    pub async fn next(&mut self) -> Option<Arc<Unit>> {
        loop {
            match self.units.recv().await {
                Ok(unit) if self.is_in_step || unit.is_key => {
                    self.is_in_step = true;
                    return Some(unit);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    self.is_in_step = false;
                    self.want_key();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(number: u64, is_key: bool) -> Unit {
        Unit {
            bytes: Bytes::new(),
            is_key,
            width: 2,
            height: 2,
            number,
            captured: Duration::ZERO,
            encoded: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn who_comes_late_or_falls_behind_begins_at_a_key_frame() {
        let hub = Arc::new(Hub::default());
        let (mut fast, mut slow) = (hub.watch_units(), hub.watch_units());
        assert!(hub.units.take_wish(), "one who comes needs a key frame");
        hub.units.publish(unit(1, false));
        hub.units.publish(unit(2, true));
        assert_eq!(fast.next().await.unwrap().number, 2);
        assert_eq!(slow.next().await.unwrap().number, 2);
        for number in 3..20 {
            hub.units.publish(unit(number, false));
            assert_eq!(fast.next().await.unwrap().number, number);
        }
        assert!(!hub.units.take_wish());
        let next = tokio::spawn(async move { slow.next().await.unwrap().number });
        while !hub.units.take_wish() {
            tokio::task::yield_now().await;
        }
        hub.units.publish(unit(20, true));
        assert_eq!(
            next.await.unwrap(),
            20,
            "what cannot be decoded is left out"
        );
    }
}
