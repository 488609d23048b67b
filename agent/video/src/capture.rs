//! The capture thread: opens the device when somebody watches, keeps it going, and says honestly why
//! there is no picture.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agent_sys::v4l2::{Device, Filled, Format, NoTimings, Stream, Timings};
use agent_sys::watched::monotonic;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::encode::{Content, Encoders, Frame};
use crate::encode_h264::UnitEncoder;
use crate::hub::{Hub, Kind, Picture};
use crate::jpeg;
use crate::source::{self, Source};
use crate::state::VideoState;

/// Buffers: one is filled, one waits, the others are encoded.
const BUFFERS: u32 = 6;
/// How often the signal is looked at, beside the device's own events.
const LOOK: Duration = Duration::from_secs(1);
/// A device that is silent for so long has stalled. The slowest sources give five frames a second.
const SILENT: Duration = Duration::from_secs(3);
/// How long the capture goes on after the last viewer left: pages are reloaded.
const LINGER: Duration = Duration::from_secs(2);
/// Pause before a device is looked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// Pause while somebody changes the device.
const HELD: Duration = Duration::from_millis(20);

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: watch::Sender<VideoState>,
    pub(crate) device: Option<PathBuf>,
    pub(crate) quality: Arc<AtomicU8>,
    pub(crate) bitrate: Arc<AtomicU32>,
    pub(crate) threads: usize,
    /// Takes the bus address of a dongle that only a reset of its port can wake.
    pub(crate) resets: mpsc::Sender<String>,
    pub(crate) frames: u64,
    pub(crate) failures: u32,
}

/// Why a session ended.
enum Ended {
    /// Nobody watches.
    Unwatched,
    /// The signal changed: begin anew at once.
    Changed,
    /// No frames came.
    Silent,
    /// The device failed or is gone.
    Failed,
}

impl Capture {
    /// Runs until the hub ends.
    pub(crate) fn run(mut self) {
        while self.hub.wait_for_viewers() {
            self.show(VideoState::Starting);
            while !self.is_unwatched() {
                let Some(source) = source::find(self.device.as_deref()) else {
                    self.show(VideoState::NoDevice);
                    self.hub.pause(AGAIN);
                    continue;
                };
                self.with_source(&source);
            }
            self.show(VideoState::Idle);
        }
    }

    /// Works with an open device until it has to be opened anew.
    fn with_source(&mut self, source: &Source) {
        // A dongle knows no such events; then timings are not known either.
        drop(source.device.watch_source());
        loop {
            match self.session(source) {
                Ended::Unwatched => return,
                Ended::Changed => {}
                Ended::Silent => {
                    self.failures += 1;
                    match self.failures {
                        1 => self.show(stalled("streaming is started again")),
                        2 => {
                            self.show(stalled("the device is opened again"));
                            return;
                        }
                        _ => {
                            self.show(stalled("its USB port is reset"));
                            // A reset that is on its way is enough.
                            drop(self.resets.try_send(source.bus.clone()));
                            self.hub.pause(4 * AGAIN);
                            return;
                        }
                    }
                }
                Ended::Failed => {
                    self.show(stalled("the device is opened again"));
                    self.hub.pause(AGAIN);
                    return;
                }
            }
        }
    }

    /// One stretch of streaming in one format.
    fn session(&mut self, source: &Source) -> Ended {
        let device = &source.device;
        while self.hub.is_held() && !self.hub.ended() {
            self.hub.pause(HELD);
        }
        let timings = match self.await_signal(device) {
            Ok(timings) => timings,
            Err(ended) => return ended,
        };
        let Some(format) = set_up(device, timings.as_ref()) else {
            return Ended::Failed;
        };
        // Declared before the stream, so that it says “stopped” when the last buffer is gone.
        let hub = Arc::clone(&self.hub);
        let _streaming = hub.streams();
        let Ok(stream) = Stream::start(device, BUFFERS) else {
            return Ended::Failed;
        };
        let encoders = Encoders::start(self.threads, &self.hub, &self.quality);
        // Its thread is not there before somebody needs it: an encoder has some megabytes.
        let mut units = None;
        let (mut last_frame, mut last_look) = (Instant::now(), Instant::now());
        let mut watched = Instant::now();
        loop {
            if self.hub.viewers() > 0 {
                watched = Instant::now();
            }
            if self.hub.ended() || watched.elapsed() > LINGER {
                return Ended::Unwatched;
            }
            if self.hub.is_held() {
                return Ended::Changed;
            }
            let Ok(ready) = device.wait(Duration::from_millis(200)) else {
                return Ended::Failed;
            };
            if ready.event && device.take_events() || last_look.elapsed() > LOOK {
                last_look = Instant::now();
                if timings.is_some() && device.query_timings().ok() != timings {
                    return Ended::Changed;
                }
            }
            if ready.frame {
                match newest(&stream) {
                    Ok(Some(filled)) => {
                        last_frame = Instant::now();
                        self.failures = 0;
                        self.take(filled, format, &encoders, &mut units);
                    }
                    Ok(None) => {}
                    Err(_) => return Ended::Failed,
                }
            } else if ready.error {
                return Ended::Failed;
            }
            if last_frame.elapsed() > SILENT {
                return Ended::Silent;
            }
        }
    }

    /// Waits until there is a picture on the cable. Nothing if the device knows nothing of cables.
    fn await_signal(&self, device: &Device) -> Result<Option<Timings>, Ended> {
        loop {
            let state = match device.query_timings() {
                Ok(timings) => return Ok(Some(timings)),
                Err(NoTimings::Unknown) => return Ok(None),
                Err(NoTimings::NoCable) => VideoState::NoCable,
                Err(NoTimings::NoLock) => VideoState::NoLock,
                Err(NoTimings::OutOfRange) => VideoState::Unsupported {
                    what: "timings out of range".into(),
                },
                Err(NoTimings::Failed(_)) => return Err(Ended::Failed),
            };
            self.show(state);
            if self.is_unwatched() {
                return Err(Ended::Unwatched);
            }
            // An event ends the wait early.
            let ready = device.wait(AGAIN).map_err(|_error| Ended::Failed)?;
            if ready.event {
                device.take_events();
            } else if ready.error {
                // Without a stream this is how the kernel says that there is nothing to wait for.
                self.hub.pause(AGAIN);
            }
        }
    }

    fn take(
        &mut self,
        filled: Filled,
        mut format: Format,
        encoders: &Encoders,
        units: &mut Option<UnitEncoder>,
    ) {
        self.frames += 1;
        let number = self.frames;
        if filled.is_damaged {
            return;
        }
        let captured = filled.captured;
        let content = if source::is_jpeg(&format) {
            let Ok(frame) = jpeg::check(filled.bytes()) else {
                return;
            };
            (format.width, format.height) = (frame.width.into(), frame.height.into());
            Content::Jpeg(if frame.is_whole() {
                Bytes::copy_from_slice(frame.bytes)
            } else {
                frame.to_whole().into()
            })
        } else {
            Content::Raw(filled)
        };
        let frame = Arc::new(Frame {
            content,
            format,
            number,
            captured,
        });
        if self.hub.wants(Kind::Units) {
            let start = || UnitEncoder::start(&self.hub, &self.bitrate, self.threads);
            units.get_or_insert_with(start).encode(Arc::clone(&frame));
        } else {
            *units = None;
        }
        match &frame.content {
            Content::Jpeg(jpeg) => self.hub.publish(Picture {
                jpeg: jpeg.clone(),
                width: format.width,
                height: format.height,
                number,
                captured,
                encoded: monotonic(),
            }),
            Content::Raw(_) if self.hub.wants(Kind::Pictures) => {
                encoders.encode(frame);
            }
            Content::Raw(_) => {}
        }
        self.show(VideoState::Live {
            width: format.width,
            height: format.height,
            format: format.pixels.to_string(),
        });
    }

    fn show(&self, state: VideoState) {
        self.state.send_if_modified(|now| {
            let changes = *now != state;
            *now = state;
            changes
        });
    }

    fn is_unwatched(&self) -> bool {
        self.hub.viewers() == 0 || self.hub.ended()
    }
}

fn stalled(remedy: &'static str) -> VideoState {
    VideoState::Stalled { remedy }
}

/// Brings the device to the timings of the cable and to the cheapest format.
fn set_up(device: &Device, timings: Option<&Timings>) -> Option<Format> {
    if let Some(timings) = timings {
        device.set_timings(timings).ok()?;
    }
    let now = device.format().ok()?;
    let wanted = source::choose(&device.formats())?;
    let (width, height) = match timings {
        Some(timings) => (timings.width(), timings.height()),
        // A dongle shows what it is asked for: the most that it can.
        None if source::MJPEG.contains(&wanted) => (1920, 1080),
        None => (now.width, now.height),
    };
    let format = device.set_format(wanted, width, height).ok()?;
    (format.pixels == wanted).then_some(format)
}

/// Takes the newest frame that waits; older ones go back at once.
fn newest(stream: &Stream) -> std::io::Result<Option<Filled>> {
    let mut newest = None;
    while let Some(filled) = stream.take()? {
        newest = Some(filled);
    }
    Ok(newest)
}

/// Returns the quality as it is kept: 1 to 100.
pub(crate) fn set_quality(quality: &AtomicU8, value: u8) {
    quality.store(value.clamp(1, 100), Ordering::Relaxed);
}
