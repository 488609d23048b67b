//! JPEG frames of capture dongles: checked, and made whole (ITU-T T.81; tables of annex K).

/// Most that a frame may have before its picture: more is no frame of a camera.
const LONGEST_HEADER: usize = 64 * 1024;

/// Huffman tables as in annex K.3 of T.81, as one DHT segment. Dongles leave them out, as AVI allows;
/// browsers need them.
const TABLES: &[u8] = include_bytes!("huffman-tables.bin");

/// A frame that cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJpeg {
    /// It does not begin as a JPEG does.
    #[error("the frame does not begin with SOI")]
    NoStart,
    /// It ends before its picture does.
    #[error("the frame is cut")]
    Cut,
    /// Its header is malformed.
    #[error("the frame's header is malformed")]
    Header,
}

/// What a frame needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The frame without what follows its end.
    pub bytes: &'a [u8],
    /// Pixels in a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Where the tables belong, if they are missing.
    missing_tables: Option<usize>,
}

impl Checked<'_> {
    /// Whether the frame can be sent as it is.
    pub fn is_whole(&self) -> bool {
        self.missing_tables.is_none()
    }

    /// Returns the frame as browsers need it.
    pub fn to_whole(&self) -> Vec<u8> {
        let at = self.missing_tables.unwrap_or(0);
        let tables = if self.is_whole() { &[] } else { TABLES };
        [&self.bytes[..at], tables, &self.bytes[at..]].concat()
    }
}

/// Checks a frame: begins with SOI, has a frame header and a scan, and ends with EOI.
pub fn check(bytes: &[u8]) -> Result<Checked<'_>, BadJpeg> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Err(BadJpeg::NoStart);
    }
    let (mut at, mut size, mut has_tables) = (2, None, false);
    loop {
        if at > LONGEST_HEADER {
            return Err(BadJpeg::Header);
        }
        let [mark, marker, high, low] = *bytes.get(at..at + 4).ok_or(BadJpeg::Cut)? else {
            return Err(BadJpeg::Cut);
        };
        if mark != 0xff {
            return Err(BadJpeg::Header);
        }
        if marker == 0xff {
            // A fill byte before the marker (T.81, B.1.1.2).
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(BadJpeg::Header);
        }
        match marker {
            0xc0..=0xc3 => {
                // Precision, lines, pixels and number of components, each component after it.
                if length < 8 {
                    return Err(BadJpeg::Header);
                }
                let body = bytes.get(at + 4..at + 9).ok_or(BadJpeg::Cut)?;
                let height = u16::from_be_bytes([body[1], body[2]]);
                size = Some((u16::from_be_bytes([body[3], body[4]]), height));
            }
            0xc4 => has_tables = true,
            0xda => break,
            _ => {}
        }
        at += 2 + length;
    }
    let (width, height) = size.ok_or(BadJpeg::Header)?;
    // Dongles pad their frames with zeros.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let bytes = &bytes[..end];
    if end <= at || !bytes.ends_with(&[0xff, 0xd9]) {
        return Err(BadJpeg::Cut);
    }
    Ok(Checked {
        bytes,
        width,
        height,
        missing_tables: (!has_tables).then_some(at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_sys::jpeg::{Compressor, Planes};
    use proptest::prelude::*;

    fn frame() -> Vec<u8> {
        let plane: Vec<u8> = (0..64 * 48)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let picture = Planes {
            width: 64,
            height: 48,
            luma: (&plane, 64),
            blue: (&plane, 64),
            red: (&plane, 64),
        };
        Compressor::new()
            .unwrap()
            .planes(&picture, 80)
            .unwrap()
            .to_vec()
    }

    /// Takes the tables out, as dongles do.
    fn without_tables(frame: &[u8]) -> Vec<u8> {
        let mut out = frame[..2].to_vec();
        let mut at = 2;
        loop {
            let length = 2 + usize::from(u16::from_be_bytes([frame[at + 2], frame[at + 3]]));
            if frame[at + 1] == 0xda {
                out.extend(&frame[at..]);
                return out;
            }
            if frame[at + 1] != 0xc4 {
                out.extend(&frame[at..at + length]);
            }
            at += length;
        }
    }

    #[test]
    fn a_whole_frame_is_sent_as_it_is_without_its_padding() {
        let frame = frame();
        let padded = [&frame[..], &[0; 100]].concat();
        let checked = check(&padded).unwrap();
        assert!(checked.is_whole());
        assert_eq!(checked.bytes, frame);
        assert_eq!((checked.width, checked.height), (64, 48));
    }

    #[test]
    fn missing_tables_are_those_that_every_encoder_uses() {
        let frame = frame();
        let bare = without_tables(&frame);
        assert!(bare.len() < frame.len());
        let checked = check(&bare).unwrap();
        assert!(!checked.is_whole());
        let whole = checked.to_whole();
        assert_eq!(
            whole.len(),
            frame.len() - 3 * 4,
            "one segment instead of four"
        );
        assert!(check(&whole).unwrap().is_whole());
        // The same tables in the same order, but for the headers of their segments.
        let tables = |frame: &[u8]| {
            let mut at = 2;
            let mut all = Vec::new();
            while frame[at + 1] != 0xda {
                let length = 2 + usize::from(u16::from_be_bytes([frame[at + 2], frame[at + 3]]));
                if frame[at + 1] == 0xc4 {
                    all.extend_from_slice(&frame[at + 4..at + length]);
                }
                at += length;
            }
            all
        };
        assert_eq!(tables(&whole), tables(&frame));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        let frame = frame();
        for end in 0..frame.len() {
            assert!(check(&frame[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_frame_header_that_is_too_short_to_be_one_is_refused() {
        let mut short = frame();
        let at = short
            .windows(2)
            .position(|pair| pair == [0xff, 0xc0])
            .unwrap();
        short[at + 3] = 4;
        assert_eq!(check(&short), Err(BadJpeg::Header));
    }

    proptest! {
        #[test]
        fn any_bytes_are_checked_without_a_panic(bytes: Vec<u8>, cut in 0usize..2000, byte: u8) {
            prop_assert!(check(&bytes).is_err() || bytes.len() > 4);
            let mut frame = frame();
            let at = cut % frame.len();
            frame[at] = byte;
            if let Ok(checked) = check(&frame) {
                drop(checked.to_whole());
            }
        }
    }
}
