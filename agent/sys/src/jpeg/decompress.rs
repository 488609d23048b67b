//! JPEG back into planes, for pictures that come compressed and are encoded as something else.

use std::ffi::{c_int, c_ulong, c_void};
use std::ptr::NonNull;

use super::{
    CompressError, FAST_DCT, Planes, YCBCR, last_error, tjDecompressHeader3,
    tjDecompressToYUVPlanes, tjDestroy, tjInitDecompress, tjPlaneHeight, tjPlaneWidth,
};

/// A decompressor with its memory.
#[derive(Debug)]
pub struct Decompressor {
    handle: NonNull<c_void>,
    planes: [Vec<u8>; 3],
}

/// The largest picture that is decompressed, in pixels: 4K.
const MOST_PIXELS: usize = 4096 * 2304;

// SAFETY: the handle is used through `&mut` only, from one thread at a time.
unsafe impl Send for Decompressor {}

impl Decompressor {
    /// Makes a decompressor.
    pub fn new() -> Option<Self> {
        // SAFETY: takes nothing; a null pointer is caught.
        let handle = NonNull::new(unsafe { tjInitDecompress() })?;
        let planes = Default::default();
        Some(Self { handle, planes })
    }

    /// Decompresses a JPEG into planes of full range (4:2:0), whatever its own sampling. Its sides must
    /// be even.
    pub fn planes(&mut self, jpeg: &[u8]) -> Result<Planes<'_>, CompressError> {
        let (mut width, mut height, mut sampling, mut colours) = (0, 0, 0, 0);
        let length = jpeg.len() as c_ulong;
        // SAFETY: the bytes live throughout the call, and so do the numbers.
        let result = unsafe {
            tjDecompressHeader3(
                self.handle.as_ptr(),
                jpeg.as_ptr(),
                length,
                &raw mut width,
                &raw mut height,
                &raw mut sampling,
                &raw mut colours,
            )
        };
        if result != 0 {
            return Err(last_error(self.handle));
        }
        let pixels = usize::try_from(i64::from(width) * i64::from(height)).unwrap_or(usize::MAX);
        if colours != YCBCR || pixels > MOST_PIXELS || (width | height) % 2 != 0 {
            let text = format!("a JPEG of {width}x{height} with colour space {colours}");
            return Err(CompressError(text));
        }
        let mut sizes = [(0, 0); 3];
        for (plane, size) in (0..).zip(&mut sizes) {
            // SAFETY: takes numbers.
            let wide = unsafe { tjPlaneWidth(plane, width, sampling) };
            // SAFETY: takes numbers.
            let high = unsafe { tjPlaneHeight(plane, height, sampling) };
            let refused = |_| CompressError(format!("sampling {sampling} is not known"));
            *size = (
                usize::try_from(wide).map_err(refused)?,
                usize::try_from(high).map_err(refused)?,
            );
        }
        for (plane, (wide, high)) in self.planes.iter_mut().zip(sizes) {
            plane.resize(wide * high, 0);
        }
        let planes = self.planes.each_mut().map(Vec::as_mut_ptr);
        let strides = sizes.map(|(wide, _)| c_int::try_from(wide).unwrap_or(0));
        // SAFETY: every plane has the size that the library says it needs, with these strides.
        let result = unsafe {
            tjDecompressToYUVPlanes(
                self.handle.as_ptr(),
                jpeg.as_ptr(),
                length,
                planes.as_ptr(),
                width,
                strides.as_ptr(),
                height,
                FAST_DCT,
            )
        };
        if result != 0 {
            return Err(last_error(self.handle));
        }
        let even = |side: c_int| usize::try_from(side).unwrap_or(0);
        let (width, height) = (even(width), even(height));
        for (plane, size) in self.planes[1..].iter_mut().zip(&sizes[1..]) {
            halve(plane, *size, (width / 2, height / 2))
                .ok_or_else(|| CompressError(format!("sampling {sampling} is not known")))?;
        }
        let [luma, blue, red] = &self.planes;
        let narrow = |side: usize| u32::try_from(side).unwrap_or(0);
        let planes = Planes {
            width: narrow(width),
            height: narrow(height),
            luma: (luma, narrow(sizes[0].0)),
            blue: (blue, narrow(width / 2)),
            red: (red, narrow(width / 2)),
        };
        planes.check()?;
        Ok(planes)
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: made by `tjInitDecompress`, and not used after this.
        unsafe { tjDestroy(self.handle.as_ptr()) };
    }
}

/// Brings a plane to the wanted size in place, by the mean of the samples. Nothing if the sizes are no
/// multiples of each other.
fn halve(plane: &mut [u8], (wide, high): (usize, usize), wanted: (usize, usize)) -> Option<()> {
    let (across, down) = (wide.checked_div(wanted.0)?, high.checked_div(wanted.1)?);
    if across * wanted.0 != wide || down * wanted.1 != high || across == 0 || down == 0 {
        return None;
    }
    if (across, down) == (1, 1) {
        return Some(());
    }
    let count = across * down;
    for line in 0..wanted.1 {
        for column in 0..wanted.0 {
            let mut sum = count / 2;
            for y in 0..down {
                let from = (line * down + y) * wide + column * across;
                sum += plane[from..from + across]
                    .iter()
                    .map(|s| usize::from(*s))
                    .sum::<usize>();
            }
            // The target lies before all that is read later.
            plane[line * wanted.0 + column] = u8::try_from(sum / count).unwrap_or(u8::MAX);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::Compressor;
    use super::*;

    #[test]
    fn a_jpeg_of_any_sampling_becomes_planes_again() {
        let mut compressor = Compressor::new().unwrap();
        let (luma, chroma) = (vec![100; 64 * 32], vec![140; 32 * 16]);
        let picture = Planes {
            width: 64,
            height: 32,
            luma: (&luma, 64),
            blue: (&chroma, 32),
            red: (&chroma, 32),
        };
        let jpeg = compressor.planes(&picture, 95).unwrap().to_vec();
        let mut decompressor = Decompressor::new().unwrap();
        let again = decompressor.planes(&jpeg).unwrap();
        assert!(again.luma.0.iter().all(|sample| sample.abs_diff(100) < 3));
        assert!(
            again.red.0[..32 * 16]
                .iter()
                .all(|sample| sample.abs_diff(140) < 3)
        );
        assert!(decompressor.planes(&jpeg[..20]).is_err());
        let mut plane = vec![0, 10, 20, 30, 40, 50, 60, 70];
        halve(&mut plane, (4, 2), (2, 1)).unwrap();
        assert_eq!(plane[..2], [25, 45]);
        let mut plane = vec![0, 10, 20, 30];
        halve(&mut plane, (2, 2), (2, 1)).unwrap();
        assert_eq!(plane[..2], [10, 20]);
        assert!(halve(&mut plane, (3, 1), (2, 1)).is_none());
    }
}
