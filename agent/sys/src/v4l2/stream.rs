//! Streaming through buffers that kernel and program share.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::device::Device;
use super::raw;

/// Buffers of a device, mapped. Frames come out filled and go back when they are dropped.
#[derive(Debug)]
pub struct Stream {
    buffers: Arc<Buffers>,
}

#[derive(Debug)]
struct Buffers {
    device: Arc<Device>,
    maps: Vec<Map>,
}

#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a map is memory that belongs to no thread; only `Filled` reads it, and `Buffers` unmaps it.
unsafe impl Send for Map {}
// SAFETY: as above; nothing writes to it from this program.
unsafe impl Sync for Map {}

/// A frame in its buffer. While it lives the kernel does not write there; when it is dropped the
/// buffer is queued again.
#[derive(Debug)]
pub struct Filled {
    buffers: Arc<Buffers>,
    index: u32,
    used: usize,
    /// Time of capture by the monotonic clock, as the driver says.
    pub captured: Duration,
    /// Number of the frame, as the driver counts.
    pub sequence: u32,
    /// Whether the driver says that the content is damaged.
    pub is_damaged: bool,
}

impl Stream {
    /// Maps about so many buffers, queues them and starts.
    pub fn start(device: &Arc<Device>, count: u32) -> io::Result<Self> {
        let mut request = raw::RequestBuffers {
            count,
            kind: raw::CAPTURE,
            memory: raw::MMAP,
            ..raw::RequestBuffers::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::request_buffers(device.fd(), &raw mut request) }?;
        let mut buffers = Buffers {
            device: Arc::clone(device),
            maps: Vec::new(),
        };
        for index in 0..request.count {
            let map = map(device, index)?;
            buffers.maps.push(map);
        }
        for index in 0..request.count {
            buffers.queue(index)?;
        }
        let kind = raw::CAPTURE.cast_signed();
        // SAFETY: the number lives throughout the call.
        unsafe { raw::stream_on(device.fd(), &raw const kind) }?;
        Ok(Self {
            buffers: Arc::new(buffers),
        })
    }

    /// Takes a frame, if one waits.
    pub fn take(&self) -> io::Result<Option<Filled>> {
        let mut buffer = raw::Buffer {
            kind: raw::CAPTURE,
            memory: raw::MMAP,
            ..raw::Buffer::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        match unsafe { raw::dequeue_buffer(self.buffers.device.fd(), &raw mut buffer) } {
            Ok(_) => {}
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let seconds = u64::try_from(buffer.timestamp[0]).unwrap_or(0);
        let micros = u64::try_from(buffer.timestamp[1]).unwrap_or(0);
        Ok(Some(Filled {
            buffers: Arc::clone(&self.buffers),
            index: buffer.index,
            used: usize::try_from(buffer.used).unwrap_or(0),
            captured: Duration::from_secs(seconds) + Duration::from_micros(micros),
            sequence: buffer.sequence,
            is_damaged: buffer.flags & raw::FLAG_ERROR != 0,
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let kind = raw::CAPTURE.cast_signed();
        // A device that is gone does not stream either.
        // SAFETY: the number lives throughout the call.
        let _outcome = unsafe { raw::stream_off(self.buffers.device.fd(), &raw const kind) };
    }
}

impl Buffers {
    fn queue(&self, index: u32) -> io::Result<()> {
        let mut buffer = raw::Buffer {
            index,
            kind: raw::CAPTURE,
            memory: raw::MMAP,
            ..raw::Buffer::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it. The kernel writes to
        // the buffer from here on; the `Filled` that could read it is gone.
        unsafe { raw::queue_buffer(self.device.fd(), &raw mut buffer) }?;
        Ok(())
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        for map in &self.maps {
            // SAFETY: mapped by `map` with this length; the last reader is gone with the last `Arc`.
            let _outcome = unsafe { munmap(map.start.cast(), map.length) };
        }
        // Frees the buffers, so that the format can be changed.
        let mut request = raw::RequestBuffers {
            kind: raw::CAPTURE,
            memory: raw::MMAP,
            ..raw::RequestBuffers::default()
        };
        // SAFETY: the structure is the one of this call and lives throughout it.
        let _outcome = unsafe { raw::request_buffers(self.device.fd(), &raw mut request) };
    }
}

impl Filled {
    /// Returns the frame's bytes.
    pub fn bytes(&self) -> &[u8] {
        let Some(map) = usize::try_from(self.index)
            .ok()
            .and_then(|at| self.buffers.maps.get(at))
        else {
            return &[];
        };
        // SAFETY: the map is at least this long and lives as long as `buffers`; the kernel does not
        // write to it until `drop` queues it.
        unsafe { std::slice::from_raw_parts(map.start.as_ptr(), self.used.min(map.length)) }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // After the stream has ended the kernel takes no buffers: that is as good.
        drop(self.buffers.queue(self.index));
    }
}

fn map(device: &Device, index: u32) -> io::Result<Map> {
    let mut buffer = raw::Buffer {
        index,
        kind: raw::CAPTURE,
        memory: raw::MMAP,
        ..raw::Buffer::default()
    };
    // SAFETY: the structure is the one of this call and lives throughout it.
    unsafe { raw::query_buffer(device.fd(), &raw mut buffer) }?;
    let length = usize::try_from(buffer.length)
        .ok()
        .and_then(NonZeroUsize::new);
    let length = length.ok_or_else(|| io::Error::other("a video buffer without memory"))?;
    let offset = i64::try_from(buffer.offset & 0xffff_ffff).expect("32 bits");
    let (protection, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
    // SAFETY: a new mapping, wherever the kernel likes.
    let start = unsafe { mmap(None, length, protection, flags, device.file.as_fd(), offset) }?;
    Ok(Map {
        start: start.cast(),
        length: length.get(),
    })
}
