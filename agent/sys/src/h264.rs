//! H.264 by OpenH264, where no hardware encodes. The calls themselves are in `native/h264.c`.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use crate::jpeg::{CompressError, Planes, number};

/// Layers of an access unit (`MAX_LAYER_NUM_OF_FRAME` of `wels/codec_app_def.h`).
const PIECES: usize = 128;
/// The largest picture that OpenH264 takes, in pixels on the longer and on the shorter side.
pub const LARGEST: (u32, u32) = (3840, 2160);

/// How pictures are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Pixels in a line; even.
    pub width: u32,
    /// Lines; even.
    pub height: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// Frames a second that are expected.
    pub rate: u32,
    /// Threads that encode, 1 to 4.
    pub threads: u8,
    /// Whether luma uses all of the byte with the matrix of BT.601, as in JPEG; otherwise 16 to 235
    /// with the matrix of BT.709, as on HDMI (CTA-861).
    pub is_full_range: bool,
}

/// An access unit: one encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// NAL units with start codes (H.264, Annex B). A key frame begins with its parameter sets.
    pub bytes: Vec<u8>,
    /// Whether decoding can begin here.
    pub is_key: bool,
}

#[repr(C)]
struct RawSettings {
    width: i32,
    height: i32,
    bits_per_second: i32,
    frames_per_second: i32,
    threads: i32,
    is_full_range: i32,
}

#[repr(C)]
struct RawPlanes {
    planes: [*const u8; 3],
    strides: [i32; 3],
    width: i32,
    height: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawPiece {
    bytes: *const u8,
    length: usize,
}

unsafe extern "C" {
    fn bakelite_h264_open(settings: *const RawSettings) -> *mut c_void;
    fn bakelite_h264_encode(
        encoder: *mut c_void,
        planes: *const RawPlanes,
        milliseconds: i64,
        force_key: c_int,
        pieces: *mut RawPiece,
        room: c_int,
        is_key: *mut c_int,
    ) -> c_int;
    fn bakelite_h264_close(encoder: *mut c_void);
}

/// An encoder with its memory.
#[derive(Debug)]
pub struct Encoder {
    handle: NonNull<c_void>,
    settings: Settings,
}

// SAFETY: the handle is used through `&mut` only, from one thread at a time.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Makes an encoder.
    pub fn new(settings: Settings) -> Result<Self, CompressError> {
        let Settings { width, height, .. } = settings;
        let (long, short) = (width.max(height), width.min(height));
        if short < 16 || long > LARGEST.0 || short > LARGEST.1 || (width | height) % 2 != 0 {
            let text = format!("H.264 of {width}x{height} is not possible here");
            return Err(CompressError(text));
        }
        let raw = RawSettings {
            width: number(width)?,
            height: number(height)?,
            bits_per_second: number(settings.bitrate)?,
            frames_per_second: number(settings.rate.clamp(1, 60))?,
            threads: settings.threads.clamp(1, 4).into(),
            is_full_range: settings.is_full_range.into(),
        };
        // SAFETY: the settings live throughout the call; a null pointer is caught.
        let handle = NonNull::new(unsafe { bakelite_h264_open(&raw const raw) });
        let error = || CompressError(format!("OpenH264 refuses {settings:?}"));
        let handle = handle.ok_or_else(error)?;
        Ok(Self { handle, settings })
    }

    /// Returns what it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Encodes a picture. Nothing if the encoder leaves it out.
    pub fn encode(
        &mut self,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> Result<Option<Encoded>, CompressError> {
        let (width, height) = (picture.width, picture.height);
        if (width, height) != (self.settings.width, self.settings.height) {
            let text = format!("{width}x{height} is not what the encoder was made for");
            return Err(CompressError(text));
        }
        picture.check()?;
        let raw = RawPlanes {
            planes: [
                picture.luma.0.as_ptr(),
                picture.blue.0.as_ptr(),
                picture.red.0.as_ptr(),
            ],
            strides: [
                number(picture.luma.1)?,
                number(picture.blue.1)?,
                number(picture.red.1)?,
            ],
            width: number(width)?,
            height: number(height)?,
        };
        let mut pieces = [RawPiece {
            bytes: std::ptr::null(),
            length: 0,
        }; PIECES];
        let mut is_key = 0;
        // SAFETY: every plane was checked to have all its lines, of the size that the encoder was made
        // for; the room for pieces is as large as said.
        let count = unsafe {
            bakelite_h264_encode(
                self.handle.as_ptr(),
                &raw const raw,
                i64::try_from(captured.as_millis()).unwrap_or(0),
                force_key.into(),
                pieces.as_mut_ptr(),
                c_int::try_from(PIECES).unwrap_or(0),
                &raw mut is_key,
            )
        };
        let count = usize::try_from(count)
            .map_err(|_error| CompressError(format!("OpenH264 failed ({count})")))?;
        let mut bytes = Vec::new();
        for piece in &pieces[..count.min(PIECES)] {
            if !piece.bytes.is_null() {
                // SAFETY: the library's own memory, which lives until the next call.
                bytes.extend(unsafe { std::slice::from_raw_parts(piece.bytes, piece.length) });
            }
        }
        let is_key = is_key != 0;
        Ok((!bytes.is_empty()).then_some(Encoded { bytes, is_key }))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `bakelite_h264_open`, and not used after this.
        unsafe { bakelite_h264_close(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        width: 64,
        height: 48,
        bitrate: 1_000_000,
        rate: 30,
        threads: 1,
        is_full_range: false,
    };

    fn picture(luma: &[u8]) -> Planes<'_> {
        const CHROMA: &[u8] = &[128; 32 * 24];
        Planes {
            width: 64,
            height: 48,
            luma: (luma, 64),
            blue: (CHROMA, 32),
            red: (CHROMA, 32),
        }
    }

    /// Types of the NAL units (H.264, table 7-1).
    fn kinds(bytes: &[u8]) -> Vec<u8> {
        let starts = bytes.windows(4).filter(|four| four[..3] == [0, 0, 1]);
        starts.map(|four| four[3] & 31).collect()
    }

    #[test]
    fn the_first_unit_is_a_key_frame_with_parameter_sets_and_others_are_on_request() {
        let mut encoder = Encoder::new(SETTINGS).unwrap();
        let mut encode = |number: u8, force| {
            let mut luma = vec![100; 64 * 48];
            luma[..8].fill(number);
            let captured = Duration::from_millis(u64::from(number) * 33);
            encoder
                .encode(&picture(&luma), captured, force)
                .unwrap()
                .unwrap()
        };
        let first = encode(1, false);
        assert!(first.is_key);
        assert_eq!(kinds(&first.bytes), [7, 8, 5]);
        let second = encode(2, false);
        assert!(!second.is_key);
        assert_eq!(kinds(&second.bytes), [1]);
        assert!(encode(3, true).is_key);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (width, height) in [(63, 48), (64, 47), (8, 8), (3842, 2160), (2160, 3842)] {
            let settings = Settings {
                width,
                height,
                ..SETTINGS
            };
            assert!(Encoder::new(settings).is_err(), "{width}x{height}");
        }
        let mut encoder = Encoder::new(SETTINGS).unwrap();
        let short = vec![0; 64 * 48 - 1];
        assert!(
            encoder
                .encode(&picture(&short), Duration::ZERO, false)
                .is_err()
        );
    }
}
