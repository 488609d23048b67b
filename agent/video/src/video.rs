//! The room's front door.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_sys::v4l2::Device;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::capture::{self, Capture};
use crate::edid::{BadEdid, Edid};
use crate::hub::{Hub, Picture, Watcher};
use crate::source;
use crate::state::VideoState;
use crate::units::UnitWatcher;

/// Bits a second of H.264, the least and the most.
pub const BITRATES: (u32, u32) = (100_000, 50_000_000);
/// The longest that stopping the stream takes.
const HOLD: Duration = Duration::from_secs(3);

/// How the capture is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The device node; the first that captures a screen if absent.
    pub device: Option<PathBuf>,
    /// Quality of encoded JPEG, 1 to 100.
    pub quality: u8,
    /// Bits a second of H.264.
    pub bitrate: u32,
    /// Threads that encode.
    pub threads: usize,
}

/// The picture of the machine.
#[derive(Debug)]
pub struct Video {
    hub: Arc<Hub>,
    state: watch::Sender<VideoState>,
    quality: Arc<AtomicU8>,
    bitrate: Arc<AtomicU32>,
    device: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

/// The EDID cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EdidError {
    /// There is no device, or it has none.
    #[error("the capture device has no EDID: dongles keep theirs to themselves")]
    NoEdid(#[source] Option<std::io::Error>),
    /// The bytes are no EDID.
    #[error(transparent)]
    Bad(#[from] BadEdid),
}

/// A device as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceEntry {
    /// What it calls itself.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
    /// Its node.
    pub node: PathBuf,
}

impl Video {
    /// Starts the capture thread; it sleeps until somebody watches. What comes out beside is the bus
    /// address of a dongle that only a reset can wake.
    pub fn start(settings: Settings) -> std::io::Result<(Self, mpsc::Receiver<String>)> {
        let (hub, state) = (Arc::new(Hub::default()), watch::Sender::default());
        let quality = Arc::new(AtomicU8::new(settings.quality));
        let bitrate = Arc::new(AtomicU32::new(settings.bitrate));
        let (resets, reset) = mpsc::channel(1);
        let capture = Capture {
            hub: Arc::clone(&hub),
            state: state.clone(),
            device: settings.device.clone(),
            quality: Arc::clone(&quality),
            bitrate: Arc::clone(&bitrate),
            threads: settings.threads,
            resets,
            frames: 0,
            failures: 0,
        };
        let thread = std::thread::Builder::new().name("capture".into());
        let video = Self {
            thread: Some(thread.spawn(move || capture.run())?),
            hub,
            state,
            quality,
            bitrate,
            device: settings.device,
        };
        Ok((video, reset))
    }

    /// Returns how it stands, now and as it changes.
    pub fn state(&self) -> watch::Receiver<VideoState> {
        self.state.subscribe()
    }

    /// Watches: pictures come for as long as the watcher lives.
    pub fn watch(&self) -> Watcher {
        self.hub.watch()
    }

    /// Watches as H.264: units come for as long as the watcher lives.
    pub fn watch_units(&self) -> UnitWatcher {
        self.hub.watch_units()
    }

    /// Returns how many access units of H.264 were made since the start.
    pub fn units(&self) -> u64 {
        self.hub.units.published()
    }

    /// Returns what encoded H.264 last: the node of the device's own encoder, or `OpenH264`.
    pub fn encoder(&self) -> Option<String> {
        self.hub.units.encoder()
    }

    /// Returns the bits a second of H.264.
    pub fn bitrate(&self) -> u32 {
        self.bitrate.load(Ordering::Relaxed)
    }

    /// Sets the bits a second of H.264. It counts from the next frame.
    pub fn set_bitrate(&self, bitrate: u32) {
        let kept = bitrate.clamp(BITRATES.0, BITRATES.1);
        self.bitrate.store(kept, Ordering::Relaxed);
    }

    /// Returns how many watch.
    pub fn viewers(&self) -> usize {
        self.hub.viewers()
    }

    /// Returns how many pictures were made since the start.
    pub fn published(&self) -> u64 {
        self.hub.published()
    }

    /// Returns the last picture, however old it is.
    pub fn last(&self) -> Option<Arc<Picture>> {
        self.hub.last()
    }

    /// Returns the quality of encoded JPEG.
    pub fn quality(&self) -> u8 {
        self.quality.load(Ordering::Relaxed)
    }

    /// Sets the quality of encoded JPEG, 1 to 100. It counts from the next frame.
    pub fn set_quality(&self, quality: u8) {
        capture::set_quality(&self.quality, quality);
    }

    /// Returns the device that is or would be used.
    pub fn source(&self) -> Option<SourceEntry> {
        let source = source::find(self.device.as_deref())?;
        Some(SourceEntry {
            card: source.card,
            bus: source.bus,
            node: source.node,
        })
    }

    /// Reads what the device tells the host of its screen.
    pub fn edid(&self) -> Result<Edid, EdidError> {
        let bytes = self.open()?.edid();
        let bytes = bytes.map_err(|error| EdidError::NoEdid(Some(error)))?;
        Ok(Edid::read(bytes)?)
    }

    /// Writes it. The host sees the plug pulled and put in again. Blocks while the stream stops: no
    /// receiver takes an EDID while it streams.
    pub fn set_edid(&self, edid: &Edid) -> Result<(), EdidError> {
        let _hold = self.hub.hold(HOLD);
        let written = self.open()?.set_edid(edid.bytes());
        written.map_err(|error| EdidError::NoEdid(Some(error)))
    }

    fn open(&self) -> Result<Arc<Device>, EdidError> {
        let source = source::find(self.device.as_deref());
        source
            .map(|source| source.device)
            .ok_or(EdidError::NoEdid(None))
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        self.hub.end();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
