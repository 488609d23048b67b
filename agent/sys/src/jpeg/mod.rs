//! JPEG by libjpeg-turbo (its C API, `turbojpeg.h` of version 2, which Debian ships).

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::ptr::NonNull;

mod decompress;

pub use decompress::Decompressor;

/// 4:2:0 (`TJSAMP_420`).
const SAMPLING: c_int = 2;
/// `TJCS_YCbCr`.
const YCBCR: c_int = 1;
/// `TJPF_RGB`.
const RGB: c_int = 0;
/// `TJFLAG_NOREALLOC`: the output is this program's memory.
const NO_REALLOC: c_int = 1024;
/// `TJFLAG_FASTDCT`: below quality 97 the difference cannot be seen.
const FAST_DCT: c_int = 2048;

#[link(name = "turbojpeg")]
unsafe extern "C" {
    fn tjInitCompress() -> *mut c_void;
    fn tjDestroy(handle: *mut c_void) -> c_int;
    fn tjBufSize(width: c_int, height: c_int, sampling: c_int) -> c_ulong;
    fn tjGetErrorStr2(handle: *mut c_void) -> *mut c_char;
    fn tjCompressFromYUVPlanes(
        handle: *mut c_void,
        planes: *const *const u8,
        width: c_int,
        strides: *const c_int,
        height: c_int,
        sampling: c_int,
        output: *mut *mut u8,
        size: *mut c_ulong,
        quality: c_int,
        flags: c_int,
    ) -> c_int;
    fn tjInitDecompress() -> *mut c_void;
    fn tjDecompressHeader3(
        handle: *mut c_void,
        jpeg: *const u8,
        size: c_ulong,
        width: *mut c_int,
        height: *mut c_int,
        sampling: *mut c_int,
        colours: *mut c_int,
    ) -> c_int;
    fn tjDecompressToYUVPlanes(
        handle: *mut c_void,
        jpeg: *const u8,
        size: c_ulong,
        planes: *const *mut u8,
        width: c_int,
        strides: *const c_int,
        height: c_int,
        flags: c_int,
    ) -> c_int;
    fn tjEncodeYUVPlanes(
        handle: *mut c_void,
        pixels: *const u8,
        width: c_int,
        pitch: c_int,
        height: c_int,
        format: c_int,
        planes: *const *mut u8,
        strides: *const c_int,
        sampling: c_int,
        flags: c_int,
    ) -> c_int;
    fn tjPlaneWidth(plane: c_int, width: c_int, sampling: c_int) -> c_int;
    fn tjPlaneHeight(plane: c_int, height: c_int, sampling: c_int) -> c_int;
    fn tjCompress2(
        handle: *mut c_void,
        pixels: *const u8,
        width: c_int,
        pitch: c_int,
        height: c_int,
        format: c_int,
        output: *mut *mut u8,
        size: *mut c_ulong,
        sampling: c_int,
        quality: c_int,
        flags: c_int,
    ) -> c_int;
}

/// A picture as planes of luma and both chromas; chroma has half the width and half the lines.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Luma and its stride.
    pub luma: (&'a [u8], u32),
    /// Blue-difference chroma and its stride.
    pub blue: (&'a [u8], u32),
    /// Red-difference chroma and its stride.
    pub red: (&'a [u8], u32),
}

/// The picture cannot be compressed, or a compressed one cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressError(pub String);

impl Planes<'_> {
    /// Checks that every plane has all its lines.
    pub(crate) fn check(&self) -> Result<(), CompressError> {
        let (width, height) = (self.width, self.height);
        let chroma = (width.div_ceil(2), height.div_ceil(2));
        for (plane, size) in [
            (self.luma, (width, height)),
            (self.blue, chroma),
            (self.red, chroma),
        ] {
            check(plane.0.len(), plane.1, size.0, size.1)?;
        }
        Ok(())
    }
}

/// A compressor with its memory.
#[derive(Debug)]
pub struct Compressor {
    handle: NonNull<c_void>,
    output: Vec<u8>,
}

// SAFETY: the handle is used through `&mut` only, from one thread at a time.
unsafe impl Send for Compressor {}

impl Compressor {
    /// Makes a compressor.
    pub fn new() -> Option<Self> {
        // SAFETY: takes nothing; a null pointer is caught.
        let handle = NonNull::new(unsafe { tjInitCompress() })?;
        Some(Self {
            handle,
            output: Vec::new(),
        })
    }

    /// Compresses planes. Quality is 1 to 100.
    pub fn planes(&mut self, picture: &Planes<'_>, quality: u8) -> Result<&[u8], CompressError> {
        picture.check()?;
        let planes = [
            picture.luma.0.as_ptr(),
            picture.blue.0.as_ptr(),
            picture.red.0.as_ptr(),
        ];
        let strides = [
            number(picture.luma.1)?,
            number(picture.blue.1)?,
            number(picture.red.1)?,
        ];
        let (width, height) = (number(picture.width)?, number(picture.height)?);
        let (mut output, mut size) = self.room(width, height);
        // SAFETY: every plane was checked to have all its lines; the output has the room that the
        // library says it needs at most, and is not reallocated.
        let result = unsafe {
            tjCompressFromYUVPlanes(
                self.handle.as_ptr(),
                planes.as_ptr(),
                width,
                strides.as_ptr(),
                height,
                SAMPLING,
                &raw mut output,
                &raw mut size,
                c_int::from(quality.clamp(1, 100)),
                NO_REALLOC | FAST_DCT,
            )
        };
        self.finish(result, size)
    }

    /// Compresses pixels of three bytes: red, green, blue.
    pub fn rgb(
        &mut self,
        pixels: &[u8],
        stride: u32,
        width: u32,
        height: u32,
        quality: u8,
    ) -> Result<&[u8], CompressError> {
        check(pixels.len(), stride, width.saturating_mul(3), height)?;
        let (width, height, stride) = (number(width)?, number(height)?, number(stride)?);
        let (mut output, mut size) = self.room(width, height);
        // SAFETY: the pixels were checked to have all their lines; the output as above.
        let result = unsafe {
            tjCompress2(
                self.handle.as_ptr(),
                pixels.as_ptr(),
                width,
                stride,
                height,
                RGB,
                &raw mut output,
                &raw mut size,
                SAMPLING,
                c_int::from(quality.clamp(1, 100)),
                NO_REALLOC | FAST_DCT,
            )
        };
        self.finish(result, size)
    }

    /// Turns pixels of three bytes into planes of full range (4:2:0); width and height are even.
    pub fn rgb_to_planes<'a>(
        &mut self,
        pixels: &[u8],
        stride: u32,
        (width, height): (u32, u32),
        memory: &'a mut [Vec<u8>; 3],
    ) -> Result<Planes<'a>, CompressError> {
        check(pixels.len(), stride, width.saturating_mul(3), height)?;
        if (width | height) % 2 != 0 {
            return Err(CompressError(format!("{width}x{height} has odd sides")));
        }
        let sizes = [
            (width, height),
            (width / 2, height / 2),
            (width / 2, height / 2),
        ];
        for (plane, (width, height)) in memory.iter_mut().zip(sizes) {
            plane.resize(width as usize * height as usize, 0);
        }
        let planes = memory.each_mut().map(Vec::as_mut_ptr);
        let strides = [number(width)?, number(width / 2)?, number(width / 2)?];
        // SAFETY: the pixels were checked to have all their lines; every plane has room for all of its
        // lines with these strides.
        let result = unsafe {
            tjEncodeYUVPlanes(
                self.handle.as_ptr(),
                pixels.as_ptr(),
                number(width)?,
                number(stride)?,
                number(height)?,
                RGB,
                planes.as_ptr(),
                strides.as_ptr(),
                SAMPLING,
                0,
            )
        };
        if result != 0 {
            return Err(last_error(self.handle));
        }
        let [luma, blue, red] = memory;
        Ok(Planes {
            width,
            height,
            luma: (luma, width),
            blue: (blue, width / 2),
            red: (red, width / 2),
        })
    }

    fn room(&mut self, width: c_int, height: c_int) -> (*mut u8, c_ulong) {
        // SAFETY: takes numbers; what it refuses is the largest number, which no vector has.
        let size = unsafe { tjBufSize(width, height, SAMPLING) };
        let wanted = usize::try_from(size).unwrap_or(0).min(1 << 28);
        self.output.resize(wanted, 0);
        (self.output.as_mut_ptr(), self.output.len() as c_ulong)
    }

    fn finish(&self, result: c_int, size: c_ulong) -> Result<&[u8], CompressError> {
        if result != 0 {
            return Err(last_error(self.handle));
        }
        let size = usize::try_from(size).unwrap_or(0);
        Ok(&self.output[..size.min(self.output.len())])
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // SAFETY: made by `tjInitCompress`, and not used after this.
        unsafe { tjDestroy(self.handle.as_ptr()) };
    }
}

fn last_error(handle: NonNull<c_void>) -> CompressError {
    // SAFETY: the handle lives.
    let text = unsafe { tjGetErrorStr2(handle.as_ptr()) };
    // SAFETY: the library returns its own text, which lives as long as the handle.
    let text = unsafe { CStr::from_ptr(text) };
    CompressError(text.to_string_lossy().into_owned())
}

pub(crate) fn check(
    length: usize,
    stride: u32,
    width: u32,
    height: u32,
) -> Result<(), CompressError> {
    let last = u64::from(stride) * u64::from(height.saturating_sub(1)) + u64::from(width);
    let is_whole = width > 0 && height > 0 && stride >= width && last <= length as u64;
    let error = || CompressError(format!("{length} bytes are no {width}x{height} picture"));
    is_whole.then_some(()).ok_or_else(error)
}

pub(crate) fn number(number: u32) -> Result<c_int, CompressError> {
    c_int::try_from(number).map_err(|error| CompressError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_becomes_a_jpeg_and_too_few_bytes_are_refused() {
        let mut compressor = Compressor::new().unwrap();
        let (luma, chroma) = (vec![100; 64 * 33], vec![128; 32 * 17]);
        let picture = Planes {
            width: 64,
            height: 33,
            luma: (&luma, 64),
            blue: (&chroma, 32),
            red: (&chroma, 32),
        };
        let jpeg = compressor.planes(&picture, 80).unwrap();
        assert_eq!(
            (&jpeg[..2], &jpeg[jpeg.len() - 2..]),
            (&b"\xff\xd8"[..], &b"\xff\xd9"[..])
        );
        let short = Planes {
            red: (&chroma[1..], 32),
            ..picture
        };
        assert!(compressor.planes(&short, 80).is_err());
        let pixels = vec![1; 64 * 3 * 2];
        assert!(compressor.rgb(&pixels, 192, 64, 2, 80).is_ok());
        assert!(compressor.rgb(&pixels, 192, 64, 3, 80).is_err());
        assert!(compressor.rgb(&pixels, 191, 64, 2, 80).is_err());
    }

    #[test]
    fn red_pixels_become_the_planes_of_red() {
        let mut compressor = Compressor::new().unwrap();
        let pixels: Vec<u8> = [255, 0, 0].repeat(32 * 16);
        let mut memory = Default::default();
        let planes = compressor
            .rgb_to_planes(&pixels, 96, (32, 16), &mut memory)
            .unwrap();
        // ITU-T T.871, §7.
        let sample = (planes.luma.0[0], planes.blue.0[0], planes.red.0[0]);
        assert_eq!(sample, (76, 85, 255));
    }
}
