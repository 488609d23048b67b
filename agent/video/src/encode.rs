//! Encodes raw frames as JPEG on threads of its own. A frame that finds all of them busy is left out.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_sys::jpeg::Compressor;
use agent_sys::v4l2::{Filled, Format};
use agent_sys::watched::monotonic;
use bytes::Bytes;

use crate::hub::{Hub, Picture};
use crate::planar::{self, Memory};

/// A frame to encode.
#[derive(Debug)]
pub struct Frame {
    /// What it shows.
    pub content: Content,
    /// How it looks.
    pub format: Format,
    /// Its number.
    pub number: u64,
    /// Captured, by the monotonic clock.
    pub captured: Duration,
}

/// What a frame shows.
#[derive(Debug)]
pub enum Content {
    /// Pixels in the driver's buffer.
    Raw(Filled),
    /// A whole JPEG.
    Jpeg(Bytes),
}

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub struct Encoders {
    jobs: Option<SyncSender<Arc<Frame>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Encoders {
    /// Starts threads that publish to a hub. Quality is read for every frame.
    pub fn start(count: usize, hub: &Arc<Hub>, quality: &Arc<AtomicU8>) -> Self {
        // Nothing waits: a frame that waits is an old picture.
        let (jobs, frames) = sync_channel(0);
        let frames = Arc::new(Mutex::new(frames));
        let thread = |number: usize| {
            let (frames, hub) = (Arc::clone(&frames), Arc::clone(hub));
            let quality = Arc::clone(quality);
            std::thread::Builder::new()
                .name(format!("encode-{number}"))
                .spawn(move || work(&frames, &hub, &quality))
                .ok()
        };
        Self {
            threads: (0..count).filter_map(thread).collect(),
            jobs: Some(jobs),
        }
    }

    /// Has a frame encoded. Returns whether a thread was free for it.
    pub fn encode(&self, frame: Arc<Frame>) -> bool {
        let jobs = self.jobs.as_ref().expect("taken only by drop");
        match jobs.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn work(frames: &Mutex<Receiver<Arc<Frame>>>, hub: &Hub, quality: &AtomicU8) {
    let Some(mut compressor) = Compressor::new() else {
        return;
    };
    let mut memory = Memory::default();
    loop {
        let frame = frames.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(frame) = frame else {
            return;
        };
        let (format, number) = (frame.format, frame.number);
        let Content::Raw(filled) = &frame.content else {
            continue;
        };
        let quality = quality.load(Ordering::Relaxed);
        let jpeg = if &format.pixels.0 == b"RGB3" {
            let (width, height) = (format.width, format.height);
            compressor.rgb(filled.bytes(), format.stride, width, height, quality)
        } else {
            let Some(planes) = planar::planes(&format, filled.bytes(), &mut memory) else {
                continue;
            };
            compressor.planes(&planes, quality)
        };
        let captured = frame.captured;
        if let Ok(jpeg) = jpeg {
            hub.publish(Picture {
                jpeg: Bytes::copy_from_slice(jpeg),
                width: format.width,
                height: format.height,
                number,
                captured,
                encoded: monotonic(),
            });
        }
    }
}
