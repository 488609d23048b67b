//! H.264 by hardware: pictures go in at one queue and come out encoded at the other (kernel:
//! `Documentation/userspace-api/media/v4l/dev-encoder.rst`). One picture at a time: what is wanted is
//! little delay.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::device::Device;
use super::raw::{self, control};
use crate::h264::{Encoded, Settings};
use crate::jpeg::Planes;

/// What goes in: a plane of luma, then both of chroma at half the size.
const PICTURES: [u8; 4] = *b"YU12";
/// What comes out.
const ENCODED: [u8; 4] = *b"H264";
/// Encoding takes far less; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pictures from one key frame to the next where nobody asks for one.
const KEY_PERIOD: i32 = 600;
/// Buffers of each queue: one is worked on.
const BUFFERS: u32 = 2;

/// An encoder with its buffers.
#[derive(Debug)]
pub struct Encoder {
    file: File,
    settings: Settings,
    /// Bytes from one line of luma to the next, and of all lines and planes.
    layout: Layout,
    pictures: Vec<Map>,
    encoded: Vec<Map>,
}

/// Where the lines of a picture go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Layout {
    width: usize,
    height: usize,
    stride: usize,
}

/// Memory that is shared with the device.
#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a map belongs to no thread; it is used through the `&mut` of its `Encoder` only.
unsafe impl Send for Map {}

impl Encoder {
    /// Whether a device encodes H.264 from pictures of the kind that goes in.
    pub fn is_one(path: &Path) -> bool {
        let Ok(device) = Device::open(path) else {
            return false;
        };
        let gives = |kind, format: [u8; 4]| {
            let mut formats = device.formats_of(kind).into_iter();
            formats.any(|one| one.0 == format)
        };
        device.has(raw::CAP_MEMORY_TO_MEMORY | raw::CAP_STREAMING)
            && gives(raw::CAPTURE_PLANES, ENCODED)
            && gives(raw::OUTPUT_PLANES, PICTURES)
    }

    /// Sets the device up and starts it.
    pub fn open(path: &Path, settings: Settings) -> io::Result<Self> {
        let file = Device::open(path)?.file;
        let mut encoder = Self {
            file,
            settings,
            layout: Layout::default(),
            pictures: Vec::new(),
            encoded: Vec::new(),
        };
        encoder.set_format(raw::CAPTURE_PLANES, ENCODED)?;
        encoder.layout = encoder.set_format(raw::OUTPUT_PLANES, PICTURES)?;
        encoder.set_rate()?;
        encoder.set(control::BITRATE, number(settings.bitrate))?;
        // Who joins later needs the parameter sets with each key frame.
        encoder.set(control::REPEAT_HEADERS, 1)?;
        // Each of these has a default that works where a device does not know it.
        for (id, value) in [
            (control::PROFILE, control::CONSTRAINED_BASELINE),
            (control::LEVEL, control::LEVEL_4_0),
            (control::KEY_PERIOD, KEY_PERIOD),
        ] {
            drop(encoder.set(id, value));
        }
        encoder.pictures = encoder.request(raw::OUTPUT_PLANES)?;
        encoder.encoded = encoder.request(raw::CAPTURE_PLANES)?;
        let fits = |map: &Map| map.length >= encoder.layout.bytes();
        if !encoder.pictures.first().is_some_and(fits) {
            return Err(io::Error::other("the encoder's buffers are too small"));
        }
        for index in 0..encoder.encoded.len() {
            encoder.queue(raw::CAPTURE_PLANES, index, 0, Duration::ZERO)?;
        }
        encoder.stream(true)?;
        Ok(encoder)
    }

    /// Returns what it was made with, but for the bitrate as it is now.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Shares out other bits from the next picture on.
    pub fn set_bitrate(&mut self, bitrate: u32) -> io::Result<()> {
        self.set(control::BITRATE, number(bitrate))?;
        self.settings.bitrate = bitrate;
        Ok(())
    }

    /// Encodes a picture.
    pub fn encode(
        &mut self,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> io::Result<Encoded> {
        if (picture.width, picture.height) != (self.settings.width, self.settings.height) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        picture.check().map_err(|error| io::Error::other(error.0))?;
        if force_key {
            self.set(control::FORCE_KEY, 1)?;
        }
        let map = self.pictures.first_mut();
        let map = map.ok_or(io::ErrorKind::NotConnected)?;
        self.layout.fill(map.bytes_mut(), picture);
        self.queue(raw::OUTPUT_PLANES, 0, self.layout.bytes(), captured)?;
        let until = Instant::now() + PATIENCE;
        let (buffer, used) = self.dequeue(raw::CAPTURE_PLANES, until)?;
        let index = usize::try_from(buffer.index).unwrap_or(usize::MAX);
        let map = self.encoded.get(index);
        let map = map.ok_or_else(|| io::Error::other("no such buffer"))?;
        let bytes = map.bytes()[..used.min(map.length)].to_vec();
        self.queue(raw::CAPTURE_PLANES, index, 0, Duration::ZERO)?;
        self.dequeue(raw::OUTPUT_PLANES, until)?;
        if buffer.flags & raw::FLAG_ERROR != 0 || bytes.is_empty() {
            return Err(io::Error::other("the encoder says that it failed"));
        }
        let is_key = buffer.flags & raw::FLAG_KEY != 0;
        Ok(Encoded { bytes, is_key })
    }

    fn set_format(&self, kind: u32, fourcc: [u8; 4]) -> io::Result<Layout> {
        let Settings { width, height, .. } = self.settings;
        let (colorspace, quantization) = if self.settings.is_full_range {
            (raw::COLOURS_JPEG, raw::RANGE_FULL)
        } else {
            (raw::COLOURS_REC709, raw::RANGE_LIMITED)
        };
        let mut format = raw::Format {
            kind,
            body: raw::FormatBody { reserved: [0; 25] },
        };
        format.body.planes = raw::PlanesFormat {
            width,
            height,
            fourcc: u32::from_le_bytes(fourcc),
            field: raw::FIELD_NONE,
            colorspace,
            quantization,
            count: 1,
            ..raw::PlanesFormat::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_format(self.file.as_raw_fd(), &raw mut format) }?;
        // SAFETY: all members are plain numbers: any bytes are valid.
        let given = unsafe { format.body.planes };
        let (w, h, name, count) = (given.width, given.height, given.fourcc, given.count);
        if (w, h) != (width, height) || name != u32::from_le_bytes(fourcc) || count != 1 {
            let text = format!("the encoder makes {w}x{h} of {width}x{height}");
            return Err(io::Error::other(text));
        }
        let stride = given.planes[0].bytes_per_line.max(width);
        Ok(Layout {
            width: usize::try_from(width).unwrap_or(0),
            height: usize::try_from(height).unwrap_or(0),
            stride: usize::try_from(stride).unwrap_or(0),
        })
    }

    fn set_rate(&self) -> io::Result<()> {
        let mut parameters = raw::StreamParameters {
            kind: raw::OUTPUT_PLANES,
            numerator: 1,
            denominator: self.settings.rate,
            ..raw::StreamParameters::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_parameters(self.file.as_raw_fd(), &raw mut parameters) }?;
        Ok(())
    }

    fn set(&self, id: u32, value: i32) -> io::Result<()> {
        let mut control = raw::Control { id, value };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_control(self.file.as_raw_fd(), &raw mut control) }?;
        Ok(())
    }

    /// Has the device make a queue's buffers, and maps them.
    fn request(&self, kind: u32) -> io::Result<Vec<Map>> {
        let mut request = raw::RequestBuffers {
            count: BUFFERS,
            kind,
            memory: raw::MMAP,
            ..raw::RequestBuffers::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::request_buffers(self.file.as_raw_fd(), &raw mut request) }?;
        (0..request.count)
            .map(|index| self.map(kind, index))
            .collect()
    }

    fn map(&self, kind: u32, index: u32) -> io::Result<Map> {
        let mut plane = raw::Plane::default();
        let mut buffer = buffer(kind, index, &mut plane);
        // SAFETY: both structures are those of this call and live throughout it.
        unsafe { raw::query_buffer(self.file.as_raw_fd(), &raw mut buffer) }?;
        let length = usize::try_from(plane.length).ok();
        let length = length.and_then(NonZeroUsize::new);
        let length = length.ok_or_else(|| io::Error::other("a buffer without memory"))?;
        let offset = i64::try_from(plane.offset & 0xffff_ffff).expect("32 bits");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let (flags, file) = (MapFlags::MAP_SHARED, self.file.as_fd());
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { mmap(None, length, protection, flags, file, offset) }?;
        Ok(Map {
            start: start.cast(),
            length: length.get(),
        })
    }

    fn queue(&self, kind: u32, index: usize, used: usize, time: Duration) -> io::Result<()> {
        let mut plane = raw::Plane {
            used: u32::try_from(used).unwrap_or(0),
            ..raw::Plane::default()
        };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut buffer = buffer(kind, index, &mut plane);
        buffer.timestamp = [
            i64::try_from(time.as_secs()).unwrap_or(0),
            i64::from(time.subsec_micros()),
        ];
        // SAFETY: both structures are those of this call and live throughout it. The device works on the
        // buffer from here on, and nothing here touches it until it is taken back.
        unsafe { raw::queue_buffer(self.file.as_raw_fd(), &raw mut buffer) }?;
        Ok(())
    }

    /// Takes a buffer back when the device is done with it. Returns it, and how much of it is used.
    fn dequeue(&self, kind: u32, until: Instant) -> io::Result<(raw::Buffer, usize)> {
        let wanted = if kind == raw::CAPTURE_PLANES {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLOUT
        };
        loop {
            let mut plane = raw::Plane::default();
            let mut buffer = buffer(kind, 0, &mut plane);
            // SAFETY: both structures are those of this call and live throughout it.
            match unsafe { raw::dequeue_buffer(self.file.as_raw_fd(), &raw mut buffer) } {
                Ok(_) => {
                    // The address of the plane must not outlive it.
                    buffer.offset = 0;
                    return Ok((buffer, usize::try_from(plane.used).unwrap_or(0)));
                }
                Err(nix::Error::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            let left = until.saturating_duration_since(Instant::now());
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.file.as_fd(), wanted)];
            let ready = poll(&mut polled, limit)?;
            let flags = polled[0].revents().unwrap_or(PollFlags::empty());
            if ready == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if !flags.contains(wanted) {
                return Err(io::Error::other("the encoder is gone"));
            }
        }
    }

    fn stream(&self, on: bool) -> io::Result<()> {
        for kind in [raw::OUTPUT_PLANES, raw::CAPTURE_PLANES] {
            let kind = kind.cast_signed();
            let file = self.file.as_raw_fd();
            if on {
                // SAFETY: the number lives throughout the call.
                unsafe { raw::stream_on(file, &raw const kind) }?;
            } else {
                // SAFETY: as above.
                unsafe { raw::stream_off(file, &raw const kind) }?;
            }
        }
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // The device must let go of its buffers before they are unmapped; one that is gone has.
        drop(self.stream(false));
    }
}

impl Map {
    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped with this length until `drop`; the device has given the buffer back.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else looks at it through the same map.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped with this length; no slice of it outlives the map.
        let _outcome = unsafe { munmap(self.start.cast(), self.length) };
    }
}

impl Layout {
    /// Bytes of all planes: lines and columns of chroma are half as many.
    fn bytes(self) -> usize {
        self.stride * self.height + 2 * (self.stride / 2) * (self.height / 2)
    }

    /// Writes a picture, each line where the device wants it.
    fn fill(self, memory: &mut [u8], picture: &Planes<'_>) {
        let (luma, chroma) = memory.split_at_mut(self.stride * self.height);
        let (width, height, stride) = (self.width / 2, self.height / 2, self.stride / 2);
        let (blue, red) = chroma.split_at_mut(stride * height);
        copy(luma, self.stride, picture.luma, (self.width, self.height));
        copy(blue, stride, picture.blue, (width, height));
        copy(red, stride, picture.red, (width, height));
    }
}

fn copy(to: &mut [u8], stride: usize, from: (&[u8], u32), (width, height): (usize, usize)) {
    let from_stride = usize::try_from(from.1).unwrap_or(usize::MAX).max(1);
    let lines = to.chunks_mut(stride.max(1)).zip(from.0.chunks(from_stride));
    for (to, from) in lines.take(height) {
        to[..width].copy_from_slice(&from[..width]);
    }
}

fn buffer(kind: u32, index: u32, plane: &mut raw::Plane) -> raw::Buffer {
    raw::Buffer {
        index,
        kind,
        memory: raw::MMAP,
        field: raw::FIELD_NONE,
        offset: u64::try_from(std::ptr::from_mut(plane).expose_provenance()).expect("64-bit Linux"),
        length: 1,
        ..raw::Buffer::default()
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_where_the_device_wants_them() {
        let picture = Planes {
            width: 4,
            height: 2,
            luma: (&[1, 2, 3, 4, 0, 5, 6, 7, 8], 5),
            blue: (&[9, 10], 2),
            red: (&[11, 12], 2),
        };
        let layout = Layout {
            width: 4,
            height: 2,
            stride: 8,
        };
        assert_eq!(layout.bytes(), 24);
        let mut memory = [0xff; 26];
        layout.fill(&mut memory, &picture);
        let ff = 0xff;
        assert_eq!(
            memory,
            [
                1, 2, 3, 4, ff, ff, ff, ff, 5, 6, 7, 8, ff, ff, ff, ff, 9, 10, ff, ff, 11, 12, ff,
                ff, ff, ff
            ]
        );
    }

    #[test]
    fn what_is_no_encoder_is_not_taken_for_one() {
        assert!(!Encoder::is_one(Path::new("/dev/null")));
        assert!(!Encoder::is_one(Path::new("/nowhere")));
    }
}
