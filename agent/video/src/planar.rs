//! From the pixel formats of capture devices to planes of luma and chroma (4:2:0).

use agent_sys::jpeg::Planes;
use agent_sys::v4l2::{Format, FourCc};

/// Formats that can be encoded, those that cost the least first.
pub const FORMATS: [FourCc; 4] = [
    FourCc(*b"NV12"),
    FourCc(*b"YUYV"),
    FourCc(*b"UYVY"),
    FourCc(*b"RGB3"),
];

/// Memory for planes, used again for each frame.
#[derive(Debug, Default)]
pub struct Memory {
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

/// Brings a frame into planes. Nothing if it is too short, or of a format that has none.
pub fn planes<'a>(format: &Format, bytes: &'a [u8], memory: &'a mut Memory) -> Option<Planes<'a>> {
    let (width, height) = (size(format.width), size(format.height));
    let stride = size(format.stride);
    // All formats here have chroma for pairs of pixels and of lines.
    if width < 2 || height < 2 || width % 2 != 0 || height % 2 != 0 {
        return None;
    }
    let chroma = (width / 2) * (height / 2);
    memory.blue.resize(chroma, 0);
    memory.red.resize(chroma, 0);
    match &format.pixels.0 {
        b"NV12" => {
            let luma = bytes.get(..stride * height)?;
            let pairs = bytes.get(stride * height..stride * height / 2 * 3)?;
            if stride < width {
                return None;
            }
            split_pairs(pairs, stride, width, memory);
            Some(result(format, luma, format.stride, memory))
        }
        b"YUYV" => packed::<0, 1, 3>(format, bytes, memory),
        b"UYVY" => packed::<1, 0, 2>(format, bytes, memory),
        _ => None,
    }
}

fn split_pairs(pairs: &[u8], stride: usize, width: usize, memory: &mut Memory) {
    let lines = pairs.chunks_exact(stride);
    let blue = memory.blue.chunks_exact_mut(width / 2);
    let red = memory.red.chunks_exact_mut(width / 2);
    for ((line, blue), red) in lines.zip(blue).zip(red) {
        for ((pair, blue), red) in line[..width].chunks_exact(2).zip(blue).zip(red) {
            (*blue, *red) = (pair[0], pair[1]);
        }
    }
}

/// Four bytes are two pixels: luma at `Y` and `Y + 2`, chroma at `U` and `V`. The chroma of two lines
/// is averaged.
fn packed<'a, const Y: usize, const U: usize, const V: usize>(
    format: &Format,
    bytes: &[u8],
    memory: &'a mut Memory,
) -> Option<Planes<'a>> {
    let (width, height) = (size(format.width), size(format.height));
    let stride = size(format.stride);
    if stride < width * 2 {
        return None;
    }
    let bytes = bytes.get(..stride * (height - 1) + width * 2)?;
    memory.luma.resize(width * height, 0);
    let pairs = memory.luma.chunks_exact_mut(width * 2);
    let blue = memory.blue.chunks_exact_mut(width / 2);
    let red = memory.red.chunks_exact_mut(width / 2);
    for (number, ((luma, blue), red)) in pairs.zip(blue).zip(red).enumerate() {
        let upper = &bytes[2 * number * stride..][..width * 2];
        let lower = &bytes[(2 * number + 1) * stride..][..width * 2];
        let (luma_upper, luma_lower) = luma.split_at_mut(width);
        for (line, luma) in [(upper, luma_upper), (lower, luma_lower)] {
            for (four, two) in line.chunks_exact(4).zip(luma.chunks_exact_mut(2)) {
                (two[0], two[1]) = (four[Y], four[Y + 2]);
            }
        }
        let fours = upper.chunks_exact(4).zip(lower.chunks_exact(4));
        for (((upper, lower), blue), red) in fours.zip(blue).zip(red) {
            *blue = average(upper[U], lower[U]);
            *red = average(upper[V], lower[V]);
        }
    }
    Some(result(format, &memory.luma, format.width, memory))
}

fn result<'a>(format: &Format, luma: &'a [u8], stride: u32, memory: &'a Memory) -> Planes<'a> {
    Planes {
        width: format.width,
        height: format.height,
        luma: (luma, stride),
        blue: (&memory.blue, format.width / 2),
        red: (&memory.red, format.width / 2),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the mean of two bytes is a byte"
)]
fn average(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(0).min(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn format(pixels: [u8; 4], width: u32, height: u32, stride: u32) -> Format {
        Format {
            pixels: FourCc(pixels),
            width,
            height,
            stride,
            size: 0,
        }
    }

    #[test]
    fn packed_formats_are_taken_apart_and_chroma_is_averaged() {
        // Two lines of two pixels, with two bytes of padding.
        let bytes = [10, 100, 20, 200, 0, 0, 30, 110, 40, 210, 0, 0];
        let mut memory = Memory::default();
        let planes = planes(&format(*b"YUYV", 2, 2, 6), &bytes, &mut memory).unwrap();
        assert_eq!(planes.luma, (&[10, 20, 30, 40][..], 2));
        assert_eq!((planes.blue.0, planes.red.0), (&[105][..], &[205][..]));
        let bytes = [100, 10, 200, 20, 110, 30, 210, 40];
        let planes = super::planes(&format(*b"UYVY", 2, 2, 4), &bytes, &mut memory).unwrap();
        assert_eq!(planes.luma.0, [10, 20, 30, 40]);
        assert_eq!((planes.blue.0, planes.red.0), (&[105][..], &[205][..]));
    }

    #[test]
    fn luma_of_nv12_is_used_where_it_lies() {
        let bytes = [1, 2, 0, 3, 4, 0, 5, 6, 0];
        let mut memory = Memory::default();
        let planes = planes(&format(*b"NV12", 2, 2, 3), &bytes, &mut memory).unwrap();
        assert_eq!(planes.luma.0.as_ptr(), bytes.as_ptr());
        assert_eq!((planes.blue.0, planes.red.0), (&[5][..], &[6][..]));
    }

    proptest! {
        #[test]
        fn any_shape_is_planes_or_nothing(
            which in 0usize..4, width in 0u32..40, height in 0u32..40, stride in 0u32..100,
            length in 0usize..6000,
        ) {
            let format = format(FORMATS[which].0, width, height, stride);
            let bytes = vec![7; length];
            let mut memory = Memory::default();
            if let Some(planes) = planes(&format, &bytes, &mut memory) {
                let mut compressor = agent_sys::jpeg::Compressor::new().unwrap();
                prop_assert!(compressor.planes(&planes, 50).is_ok());
            }
        }
    }
}
