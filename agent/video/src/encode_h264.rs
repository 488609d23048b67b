//! Encodes H.264 on a thread of its own, one frame after the other. While it works the newest frame
//! waits; older ones are left out.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use agent_sys::h264::Settings;
use agent_sys::jpeg::{Compressor, Decompressor, Planes};
use agent_sys::watched::monotonic;

use crate::encode::{Content, Frame};
use crate::engine::{Engine, Hardware};
use crate::hub::Hub;
use crate::planar::{self, Memory};
use crate::units::Unit;

/// Frames a second that the bits are shared out for.
const RATE: u32 = 30;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct UnitEncoder {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

/// Where the newest frame waits.
#[derive(Debug, Default)]
struct Slot {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    Nothing,
    Frame(Arc<Frame>),
    End,
}

impl UnitEncoder {
    /// Starts the thread, which publishes to a hub. The bitrate is read for every frame.
    pub(crate) fn start(hub: &Arc<Hub>, bitrate: &Arc<AtomicU32>, threads: usize) -> Self {
        let slot = Arc::new(Slot::default());
        let worker = Worker {
            hub: Arc::clone(hub),
            bitrate: Arc::clone(bitrate),
            threads: u8::try_from(threads).unwrap_or(1),
            engine: Engine::new(Hardware::find()),
            tools: Tools::default(),
        };
        let thread = std::thread::Builder::new().name("encode-h264".into());
        let frames = Arc::clone(&slot);
        let thread = thread.spawn(move || worker.run(&frames)).ok();
        Self { slot, thread }
    }

    /// Has a frame encoded next, instead of one that waits.
    pub(crate) fn encode(&self, frame: Arc<Frame>) {
        self.slot.put(Next::Frame(frame));
    }
}

impl Drop for UnitEncoder {
    fn drop(&mut self) {
        self.slot.put(Next::End);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Slot {
    fn put(&self, next: Next) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Arc<Frame>> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_empty = |next: &mut Next| matches!(next, Next::Nothing);
        let mut next = self
            .changed
            .wait_while(next, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *next) {
            Next::Frame(frame) => Some(frame),
            Next::Nothing | Next::End => None,
        }
    }
}

struct Worker {
    hub: Arc<Hub>,
    bitrate: Arc<AtomicU32>,
    threads: u8,
    engine: Engine,
    tools: Tools,
}

impl Worker {
    fn run(mut self, frames: &Slot) {
        while let Some(frame) = frames.take() {
            // A frame that cannot be encoded is left out, as a damaged one is.
            let _left_out = self.encode(&frame);
        }
    }

    fn encode(&mut self, frame: &Frame) -> Option<()> {
        let (planes, is_full_range) = self.tools.planes(frame)?;
        let (width, height) = (planes.width, planes.height);
        let settings = Settings {
            width,
            height,
            bitrate: self.bitrate.load(Ordering::Relaxed),
            rate: RATE,
            threads: self.threads,
            is_full_range,
        };
        let is_key_wanted = self.hub.units.take_wish();
        let encoded = self
            .engine
            .encode(settings, &planes, frame.captured, is_key_wanted);
        self.hub.units.name_encoder(self.engine.name());
        let Some(encoded) = encoded else {
            if is_key_wanted {
                self.hub.units.want_key();
            }
            return None;
        };
        self.hub.publish_unit(Unit {
            bytes: encoded.bytes.into(),
            is_key: encoded.is_key,
            width,
            height,
            number: frame.number,
            captured: frame.captured,
            encoded: monotonic(),
        });
        Some(())
    }
}

/// Memory and tools that bring frames into planes.
#[derive(Default)]
struct Tools {
    decompressor: Option<Decompressor>,
    compressor: Option<Compressor>,
    memory: Memory,
    planes: [Vec<u8>; 3],
}

impl Tools {
    /// Returns the planes of a frame, and whether they are of full range.
    fn planes<'a>(&'a mut self, frame: &'a Frame) -> Option<(Planes<'a>, bool)> {
        let filled = match &frame.content {
            Content::Jpeg(jpeg) => {
                if self.decompressor.is_none() {
                    self.decompressor = Decompressor::new();
                }
                let planes = self.decompressor.as_mut()?.planes(jpeg).ok()?;
                return Some((planes, true));
            }
            Content::Raw(filled) => filled.bytes(),
        };
        let format = &frame.format;
        if &format.pixels.0 != b"RGB3" {
            let planes = planar::planes(format, filled, &mut self.memory)?;
            return Some((planes, false));
        }
        if self.compressor.is_none() {
            self.compressor = Compressor::new();
        }
        let size = (format.width, format.height);
        let compressor = self.compressor.as_mut()?;
        let planes = compressor.rgb_to_planes(filled, format.stride, size, &mut self.planes);
        Some((planes.ok()?, true))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agent_sys::v4l2::{Format, FourCc};

    use super::*;

    fn jpeg() -> Vec<u8> {
        let (luma, chroma) = (vec![90; 64 * 32], vec![128; 32 * 16]);
        let planes = Planes {
            width: 64,
            height: 32,
            luma: (&luma, 64),
            blue: (&chroma, 32),
            red: (&chroma, 32),
        };
        let mut compressor = Compressor::new().unwrap();
        compressor.planes(&planes, 80).unwrap().to_vec()
    }

    #[tokio::test]
    async fn frames_of_a_dongle_become_h264_and_the_bitrate_can_change() {
        let hub = Arc::new(Hub::default());
        let bitrate = Arc::new(AtomicU32::new(1_000_000));
        let mut watcher = hub.watch_units();
        let encoder = UnitEncoder::start(&hub, &bitrate, 1);
        let jpeg = bytes::Bytes::from(jpeg());
        let frame = |number| {
            Arc::new(Frame {
                content: Content::Jpeg(jpeg.clone()),
                format: Format {
                    pixels: FourCc(*b"MJPG"),
                    width: 64,
                    height: 32,
                    stride: 0,
                    size: 0,
                },
                number,
                captured: Duration::from_millis(number * 33),
            })
        };
        encoder.encode(frame(1));
        let unit = watcher.next().await.unwrap();
        assert!(unit.is_key && unit.bytes.starts_with(&[0, 0, 0, 1]));
        assert_eq!(hub.units.encoder().as_deref(), Some("OpenH264"));
        assert_eq!((unit.width, unit.height, unit.number), (64, 32, 1));
        encoder.encode(frame(2));
        assert!(!watcher.next().await.unwrap().is_key);
        bitrate.store(2_000_000, Ordering::Relaxed);
        encoder.encode(frame(3));
        assert!(watcher.next().await.unwrap().is_key, "another encoder");
    }
}
