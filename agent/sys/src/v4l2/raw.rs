//! Structures and numbers of `linux/videodev2.h` for 64-bit Linux, as far as they are used. The
//! kernel checks the size of each: it is part of the call's number.

use std::ffi::c_int;

pub(super) const CAPTURE: u32 = 1;
pub(super) const CAPTURE_PLANES: u32 = 9;
pub(super) const OUTPUT_PLANES: u32 = 10;
pub(super) const MMAP: u32 = 1;
pub(super) const CAP_CAPTURE: u32 = 0x1;
pub(super) const CAP_MEMORY_TO_MEMORY: u32 = 0x4000;
pub(super) const CAP_STREAMING: u32 = 0x0400_0000;
pub(super) const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
pub(super) const FLAG_ERROR: u32 = 0x40;
pub(super) const FLAG_KEY: u32 = 0x8;
pub(super) const FIELD_NONE: u32 = 1;
pub(super) const COLOURS_REC709: u32 = 3;
pub(super) const COLOURS_JPEG: u32 = 7;
pub(super) const RANGE_FULL: u8 = 1;
pub(super) const RANGE_LIMITED: u8 = 2;
pub(super) const EVENT_SOURCE_CHANGE: u32 = 5;
pub(super) const TIMINGS_BT: u32 = 0;

#[repr(C)]
#[derive(Default)]
pub(super) struct Capability {
    pub(super) driver: [u8; 16],
    pub(super) card: [u8; 32],
    pub(super) bus: [u8; 32],
    pub(super) version: u32,
    pub(super) capabilities: u32,
    pub(super) device: u32,
    pub(super) reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct FormatDescription {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) description: [u8; 32],
    pub(super) fourcc: u32,
    pub(super) reserved: [u32; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PixelFormat {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fourcc: u32,
    pub(super) field: u32,
    pub(super) bytes_per_line: u32,
    pub(super) size: u32,
    pub(super) colorspace: u32,
    pub(super) private: u32,
    pub(super) flags: u32,
    pub(super) encoding: u32,
    pub(super) quantization: u32,
    pub(super) transfer: u32,
}

#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub(super) struct PlaneFormat {
    pub(super) size: u32,
    pub(super) bytes_per_line: u32,
    pub(super) reserved: [u16; 6],
}

#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub(super) struct PlanesFormat {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fourcc: u32,
    pub(super) field: u32,
    pub(super) colorspace: u32,
    pub(super) planes: [PlaneFormat; 8],
    pub(super) count: u8,
    pub(super) flags: u8,
    pub(super) encoding: u8,
    pub(super) quantization: u8,
    pub(super) transfer: u8,
    pub(super) reserved: [u8; 7],
}

/// A buffer of a format with planes: its one plane.
#[repr(C)]
#[derive(Default)]
pub(super) struct Plane {
    pub(super) used: u32,
    pub(super) length: u32,
    pub(super) offset: u64,
    pub(super) data: u32,
    pub(super) reserved: [u32; 11],
}

#[repr(C)]
pub(super) struct Control {
    pub(super) id: u32,
    pub(super) value: i32,
}

/// Settings of an encoder (`V4L2_CID_MPEG_VIDEO_…`).
pub(super) mod control {
    pub(in super::super) const BITRATE: u32 = 0x0099_09cf;
    pub(in super::super) const REPEAT_HEADERS: u32 = 0x0099_09e2;
    pub(in super::super) const FORCE_KEY: u32 = 0x0099_09e5;
    pub(in super::super) const KEY_PERIOD: u32 = 0x0099_0a66;
    pub(in super::super) const LEVEL: u32 = 0x0099_0a67;
    pub(in super::super) const PROFILE: u32 = 0x0099_0a6b;
    /// Level 4.0: 1080p at 30 frames a second, the most that the Raspberry Pi's encoder gives.
    pub(in super::super) const LEVEL_4_0: i32 = 11;
    /// What every decoder takes.
    pub(in super::super) const CONSTRAINED_BASELINE: i32 = 1;
}

#[repr(C)]
pub(super) union FormatBody {
    pub(super) pixels: PixelFormat,
    pub(super) planes: PlanesFormat,
    pub(super) reserved: [u64; 25],
}

#[repr(C)]
pub(super) struct Format {
    pub(super) kind: u32,
    pub(super) body: FormatBody,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct RequestBuffers {
    pub(super) count: u32,
    pub(super) kind: u32,
    pub(super) memory: u32,
    pub(super) capabilities: u32,
    pub(super) reserved: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) used: u32,
    pub(super) flags: u32,
    pub(super) field: u32,
    pub(super) timestamp: [i64; 2],
    pub(super) timecode: [u32; 4],
    pub(super) sequence: u32,
    pub(super) memory: u32,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) reserved: [u32; 2],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct EventSubscription {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) flags: u32,
    pub(super) reserved: [u32; 5],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Event {
    pub(super) kind: u32,
    pub(super) body: [u64; 8],
    pub(super) pending: u32,
    pub(super) sequence: u32,
    pub(super) timestamp: [i64; 2],
    pub(super) id: u32,
    pub(super) reserved: [u32; 8],
}

/// Packed in the kernel: the pixel clock lies at 16, on no boundary of its own within the whole.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(super) struct BtTimings {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) interlaced: u32,
    pub(super) polarities: u32,
    pub(super) pixel_clock: u64,
    pub(super) horizontal: [u32; 3],
    pub(super) vertical: [u32; 3],
    pub(super) second_field: [u32; 3],
    pub(super) standards: u32,
    pub(super) flags: u32,
    pub(super) rest: [u8; 56],
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(super) struct DvTimings {
    pub(super) kind: u32,
    pub(super) bt: BtTimings,
    pub(super) rest: [u8; 4],
}

#[repr(C)]
pub(super) struct Edid {
    pub(super) pad: u32,
    pub(super) start: u32,
    pub(super) blocks: u32,
    pub(super) reserved: [u32; 5],
    pub(super) data: *mut u8,
}

#[repr(C)]
pub(super) struct StreamParameters {
    pub(super) kind: u32,
    pub(super) capability: u32,
    pub(super) mode: u32,
    pub(super) numerator: u32,
    pub(super) denominator: u32,
    pub(super) rest: [u32; 46],
}

impl Default for StreamParameters {
    fn default() -> Self {
        Self {
            kind: CAPTURE,
            capability: 0,
            mode: 0,
            numerator: 0,
            denominator: 0,
            rest: [0; 46],
        }
    }
}

const _: () = {
    assert!(size_of::<Capability>() == 104);
    assert!(size_of::<FormatDescription>() == 64);
    assert!(size_of::<Format>() == 208);
    assert!(size_of::<RequestBuffers>() == 20);
    assert!(size_of::<Buffer>() == 88);
    assert!(size_of::<EventSubscription>() == 32);
    assert!(size_of::<Event>() == 136);
    assert!(size_of::<DvTimings>() == 132);
    assert!(size_of::<Edid>() == 40);
    assert!(size_of::<StreamParameters>() == 204);
};

nix::ioctl_read!(query_capability, b'V', 0, Capability);
nix::ioctl_readwrite!(enumerate_formats, b'V', 2, FormatDescription);
nix::ioctl_readwrite!(get_format, b'V', 4, Format);
nix::ioctl_readwrite!(set_format, b'V', 5, Format);
nix::ioctl_readwrite!(request_buffers, b'V', 8, RequestBuffers);
nix::ioctl_readwrite!(query_buffer, b'V', 9, Buffer);
nix::ioctl_readwrite!(queue_buffer, b'V', 15, Buffer);
nix::ioctl_readwrite!(dequeue_buffer, b'V', 17, Buffer);
nix::ioctl_write_ptr!(stream_on, b'V', 18, c_int);
nix::ioctl_write_ptr!(stream_off, b'V', 19, c_int);
nix::ioctl_readwrite!(get_parameters, b'V', 21, StreamParameters);
nix::ioctl_readwrite!(set_parameters, b'V', 22, StreamParameters);
nix::ioctl_readwrite!(set_control, b'V', 28, Control);
nix::ioctl_readwrite!(get_edid, b'V', 40, Edid);
nix::ioctl_readwrite!(set_edid, b'V', 41, Edid);
nix::ioctl_readwrite!(set_timings, b'V', 87, DvTimings);
nix::ioctl_read!(dequeue_event, b'V', 89, Event);
nix::ioctl_write_ptr!(subscribe_event, b'V', 90, EventSubscription);
nix::ioctl_read!(query_timings, b'V', 99, DvTimings);

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    unsafe extern "C" {
        static bakelite_v4l2_facts: [u64; 34];
        static bakelite_v4l2_fact_count: u64;
    }

    #[test]
    fn structures_and_numbers_are_those_of_the_kernels_header() {
        let size = |bytes: usize| u64::try_from(bytes).unwrap();
        let ours = [
            size(size_of::<Plane>()),
            size(offset_of!(Plane, offset)),
            size(offset_of!(Plane, data)),
            size(size_of::<PlanesFormat>()),
            size(offset_of!(PlanesFormat, planes)),
            size(offset_of!(PlanesFormat, count)),
            size(offset_of!(PlanesFormat, encoding)),
            size(offset_of!(PlanesFormat, quantization)),
            size(size_of::<PlaneFormat>()),
            size(offset_of!(PlaneFormat, bytes_per_line)),
            size(offset_of!(Format, body)),
            size(size_of::<Buffer>()),
            size(offset_of!(Buffer, offset)),
            size(offset_of!(Buffer, length)),
            size(size_of::<Control>()),
            CAPTURE_PLANES.into(),
            OUTPUT_PLANES.into(),
            CAP_MEMORY_TO_MEMORY.into(),
            FLAG_KEY.into(),
            control::BITRATE.into(),
            control::REPEAT_HEADERS.into(),
            control::FORCE_KEY.into(),
            control::KEY_PERIOD.into(),
            control::LEVEL.into(),
            control::PROFILE.into(),
            u64::try_from(control::LEVEL_4_0).unwrap(),
            u64::try_from(control::CONSTRAINED_BASELINE).unwrap(),
            COLOURS_REC709.into(),
            COLOURS_JPEG.into(),
            RANGE_FULL.into(),
            RANGE_LIMITED.into(),
            nix::request_code_readwrite!(b'V', 28, size_of::<Control>()),
            nix::request_code_readwrite!(b'V', 5, size_of::<Format>()),
            nix::request_code_readwrite!(b'V', 15, size_of::<Buffer>()),
        ];
        // SAFETY: constants of `native/v4l2.c`.
        assert_eq!(unsafe { bakelite_v4l2_fact_count }, size(ours.len()));
        // SAFETY: as above, and there are as many.
        assert_eq!(unsafe { bakelite_v4l2_facts }, ours);
    }
}
