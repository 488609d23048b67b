//! A capture device: what it is and what it can.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::raw;

/// Four characters that name a pixel format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a device says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Name of the driver.
    pub driver: String,
    /// Name of the device.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
    /// Whether it captures video into mapped buffers.
    pub captures: bool,
}

/// How frames look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Pixel format.
    pub pixels: FourCc,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from one line to the next; 0 for compressed formats.
    pub stride: u32,
    /// Largest frame in bytes.
    pub size: u32,
}

/// An open device.
#[derive(Debug)]
pub struct Device {
    pub(super) file: File,
}

/// What can be taken from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// A frame.
    pub frame: bool,
    /// An event.
    pub event: bool,
    /// The device is gone, or has nothing queued.
    pub error: bool,
}

impl Device {
    /// Opens a device node. Nothing blocks: [`Self::wait`] does the waiting.
    pub fn open(path: &Path) -> io::Result<Self> {
        // `O_NONBLOCK` is 0o4000 on all architectures that this runs on.
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(0o4000)
            .open(path)?;
        Ok(Self { file })
    }

    /// Asks what the device is.
    pub fn capability(&self) -> io::Result<Capability> {
        let (raw, capabilities) = self.query()?;
        let wanted = raw::CAP_CAPTURE | raw::CAP_STREAMING;
        Ok(Capability {
            driver: text(&raw.driver),
            card: text(&raw.card),
            bus: text(&raw.bus),
            captures: capabilities & wanted == wanted,
        })
    }

    /// Whether it has all of these capabilities.
    pub(super) fn has(&self, wanted: u32) -> bool {
        let capabilities = self.query().map_or(0, |(_, capabilities)| capabilities);
        capabilities & wanted == wanted
    }

    fn query(&self) -> io::Result<(raw::Capability, u32)> {
        let mut raw = raw::Capability::default();
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::query_capability(self.fd(), &raw mut raw) }?;
        let capabilities = if raw.capabilities & raw::CAP_DEVICE_CAPS != 0 {
            raw.device
        } else {
            raw.capabilities
        };
        Ok((raw, capabilities))
    }

    /// Lists the pixel formats that it gives.
    pub fn formats(&self) -> Vec<FourCc> {
        self.formats_of(raw::CAPTURE)
    }

    /// Lists the pixel formats of one of its queues.
    pub(super) fn formats_of(&self, kind: u32) -> Vec<FourCc> {
        let mut formats = Vec::new();
        // Bounded, whatever a driver says.
        for index in 0..256 {
            let mut raw = raw::FormatDescription {
                index,
                kind,
                ..raw::FormatDescription::default()
            };
            // SAFETY: the structure is the one of this call and lives throughout it.
            if unsafe { raw::enumerate_formats(self.fd(), &raw mut raw) }.is_err() {
                break;
            }
            formats.push(FourCc(raw.fourcc.to_le_bytes()));
        }
        formats
    }

    /// Returns how frames look now.
    pub fn format(&self) -> io::Result<Format> {
        let mut raw = raw::Format {
            kind: raw::CAPTURE,
            body: raw::FormatBody { reserved: [0; 25] },
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::get_format(self.fd(), &raw mut raw) }?;
        Ok(format(&raw))
    }

    /// Asks for frames of a size and pixel format. Returns what the device will give, which may differ.
    pub fn set_format(&self, pixels: FourCc, width: u32, height: u32) -> io::Result<Format> {
        let mut raw = raw::Format {
            kind: raw::CAPTURE,
            body: raw::FormatBody { reserved: [0; 25] },
        };
        raw.body.pixels = raw::PixelFormat {
            width,
            height,
            fourcc: u32::from_le_bytes(pixels.0),
            ..raw::PixelFormat::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_format(self.fd(), &raw mut raw) }?;
        Ok(format(&raw))
    }

    /// Asks for so many frames a second. Returns what the device will give, if it says.
    pub fn set_rate(&self, rate: u32) -> io::Result<Option<f64>> {
        let mut raw = raw::StreamParameters {
            numerator: 1,
            denominator: rate,
            ..raw::StreamParameters::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_parameters(self.fd(), &raw mut raw) }?;
        let rate = f64::from(raw.denominator) / f64::from(raw.numerator);
        Ok(rate.is_finite().then_some(rate))
    }

    /// Has the device tell when what it is fed changes.
    pub fn watch_source(&self) -> io::Result<()> {
        let raw = raw::EventSubscription {
            kind: raw::EVENT_SOURCE_CHANGE,
            ..raw::EventSubscription::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::subscribe_event(self.fd(), &raw const raw) }?;
        Ok(())
    }

    /// Takes all events that wait. Returns whether there was one.
    pub fn take_events(&self) -> bool {
        let mut any = false;
        loop {
            let mut raw = raw::Event::default();
            // SAFETY: the structure is the one of this call and lives throughout it.
            if unsafe { raw::dequeue_event(self.fd(), &raw mut raw) }.is_err() {
                return any;
            }
            any = true;
        }
    }

    /// Waits for a frame or an event.
    pub fn wait(&self, limit: Duration) -> io::Result<Ready> {
        let flags = PollFlags::POLLIN | PollFlags::POLLPRI;
        let mut polled = [PollFd::new(self.file.as_fd(), flags)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        poll(&mut polled, limit)?;
        let ready = polled[0].revents().unwrap_or(PollFlags::empty());
        Ok(Ready {
            frame: ready.contains(PollFlags::POLLIN),
            event: ready.contains(PollFlags::POLLPRI),
            error: ready.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL),
        })
    }

    pub(super) fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

fn format(raw: &raw::Format) -> Format {
    // SAFETY: both sides of the union are plain numbers: any bytes are valid.
    let pixels = unsafe { raw.body.pixels };
    Format {
        pixels: FourCc(pixels.fourcc.to_le_bytes()),
        width: pixels.width,
        height: pixels.height,
        stride: pixels.bytes_per_line,
        size: pixels.size,
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
