//! EDID: what a screen tells the host that it can show (VESA E-EDID 1.4, CTA-861).

use serde::Serialize;

/// Bytes of a block.
const BLOCK: usize = 128;
/// Most blocks that receivers here take.
const BLOCKS: usize = 4;
/// How every EDID begins.
const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];

/// An EDID that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edid(Vec<u8>);

/// The bytes are no EDID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEdid {
    /// The length is none of whole blocks.
    #[error("an EDID has 1 to {BLOCKS} blocks of {BLOCK} bytes, this has {length} bytes")]
    Length {
        /// The length.
        length: usize,
    },
    /// It does not begin as one.
    #[error("an EDID begins with 00 FF FF FF FF FF FF 00")]
    Header,
    /// A block's sum is wrong.
    #[error("the checksum of block {block} is wrong")]
    Checksum {
        /// Number of the block, from 0.
        block: usize,
    },
    /// It names more or fewer extensions than there are.
    #[error("it names {named} extensions and has {found}")]
    Extensions {
        /// As byte 126 says.
        named: usize,
        /// As there are.
        found: usize,
    },
    /// The first detailed timing is none.
    #[error("its first detailed timing, the preferred one, is empty or impossible")]
    Preferred,
    /// There is no such preset.
    #[error("there is no preset “{name}”: there are {}", names())]
    NoPreset {
        /// The name.
        name: String,
    },
    /// The text is not hexadecimal.
    #[error("the text is not hexadecimal")]
    Hexadecimal,
}

/// What an EDID says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// Three letters of the maker.
    pub maker: String,
    /// Name of the screen.
    pub name: Option<String>,
    /// Pixels in a line of the preferred mode.
    pub width: u16,
    /// Lines of the preferred mode.
    pub height: u16,
    /// Pictures a second of the preferred mode.
    pub rate: f64,
}

/// A mode (CTA-861 or VESA DMT): name; pixel clock in 10 kHz; active, front porch, sync and back porch
/// of line and picture; whether both syncs are positive; its number in CTA-861, if it has one.
struct Mode {
    name: &'static str,
    clock: u16,
    line: [u16; 4],
    picture: [u16; 4],
    is_positive: bool,
    code: Option<u8>,
}

const MODES: &[Mode] = &[
    mode(
        "1080p60",
        14850,
        [1920, 88, 44, 148],
        [1080, 4, 5, 36],
        true,
        Some(16),
    ),
    mode(
        "1080p50",
        14850,
        [1920, 528, 44, 148],
        [1080, 4, 5, 36],
        true,
        Some(31),
    ),
    mode(
        "1080p30",
        7425,
        [1920, 88, 44, 148],
        [1080, 4, 5, 36],
        true,
        Some(34),
    ),
    mode(
        "720p60",
        7425,
        [1280, 110, 40, 220],
        [720, 5, 5, 20],
        true,
        Some(4),
    ),
    mode(
        "720p50",
        7425,
        [1280, 440, 40, 220],
        [720, 5, 5, 20],
        true,
        Some(19),
    ),
    mode(
        "1024x768",
        6500,
        [1024, 24, 136, 160],
        [768, 3, 6, 29],
        false,
        None,
    ),
];

const fn mode(
    name: &'static str,
    clock: u16,
    line: [u16; 4],
    picture: [u16; 4],
    is_positive: bool,
    code: Option<u8>,
) -> Mode {
    Mode {
        name,
        clock,
        line,
        picture,
        is_positive,
        code,
    }
}

fn names() -> String {
    let names: Vec<&str> = MODES.iter().map(|mode| mode.name).collect();
    names.join(", ")
}

impl Edid {
    /// Checks bytes.
    pub fn read(bytes: Vec<u8>) -> Result<Self, BadEdid> {
        let length = bytes.len();
        if length == 0 || !length.is_multiple_of(BLOCK) || length > BLOCK * BLOCKS {
            return Err(BadEdid::Length { length });
        }
        if bytes[..8] != HEADER {
            return Err(BadEdid::Header);
        }
        for (block, content) in bytes.chunks_exact(BLOCK).enumerate() {
            if content
                .iter()
                .fold(0u8, |sum, byte| sum.wrapping_add(*byte))
                != 0
            {
                return Err(BadEdid::Checksum { block });
            }
        }
        let (named, found) = (usize::from(bytes[126]), length / BLOCK - 1);
        if named != found {
            return Err(BadEdid::Extensions { named, found });
        }
        let edid = Self(bytes);
        let facts = edid.facts();
        if facts.width == 0 || facts.height == 0 || !facts.rate.is_finite() {
            return Err(BadEdid::Preferred);
        }
        Ok(edid)
    }

    /// Checks hexadecimal digits, as files and pages have them.
    pub fn from_hexadecimal(text: &str) -> Result<Self, BadEdid> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        Self::read(bytes.ok_or(BadEdid::Hexadecimal)?)
    }

    /// Returns names of the presets.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        MODES.iter().map(|mode| mode.name)
    }

    /// Makes the EDID of a screen that prefers a mode and takes those that need no faster clock.
    pub fn preset(name: &str) -> Result<Self, BadEdid> {
        let preferred = MODES.iter().find(|mode| mode.name == name);
        let preferred = preferred.ok_or_else(|| BadEdid::NoPreset {
            name: name.chars().take(40).collect(),
        })?;
        let mut bytes = base_block(preferred);
        bytes.extend(extension(preferred));
        Self::read(bytes)
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns what it says.
    pub fn facts(&self) -> Facts {
        let bytes = &self.0;
        let maker = u16::from_be_bytes([bytes[8], bytes[9]]);
        let letter = |shift: u16| char::from(b'@' + ((maker >> shift) & 31).to_le_bytes()[0]);
        let timing = &bytes[54..72];
        let number = |low: usize, high: usize, shift: u8| {
            u16::from(timing[low]) | (u16::from((timing[high] >> shift) & 15) << 8)
        };
        let (width, height) = (number(2, 4, 4), number(5, 7, 4));
        let total = (u32::from(width) + u32::from(number(3, 4, 0)))
            * (u32::from(height) + u32::from(number(6, 7, 0)));
        let clock = f64::from(u16::from_le_bytes([timing[0], timing[1]])) * 10_000.0;
        let names = bytes[72..126]
            .chunks_exact(18)
            .filter(|d| d.starts_with(&[0, 0, 0, 0xfc]));
        let name = names
            .map(|d| String::from_utf8_lossy(&d[5..]).trim().to_owned())
            .next();
        Facts {
            maker: [letter(10), letter(5), letter(0)].iter().collect(),
            name,
            width,
            height,
            rate: clock / f64::from(total),
        }
    }
}

fn base_block(preferred: &Mode) -> Vec<u8> {
    let mut block = HEADER.to_vec();
    // Maker "BKL", product 1, no serial, week 1 of 2026, version 1.3: HDMI asks for that one.
    block.extend([0x09, 0x6c, 1, 0, 0, 0, 0, 0, 1, 36, 1, 3]);
    // Digital; 52 x 29 cm; gamma 2.2; RGB colour, sRGB, the first timing is preferred.
    block.extend([0x80, 52, 29, 120, 0x0e]);
    // Chromaticity of sRGB.
    block.extend([0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
    // Established: 640x480, 800x600 and 1024x768 at 60 Hz.
    block.extend([0x21, 0x08, 0x00]);
    block.extend([1; 16]);
    block.extend(detailed(preferred));
    block.extend(text(0xfc, "Bakelite"));
    // Range: 24 to 76 Hz, 15 to 83 kHz, at most 150 MHz.
    block.extend([
        0, 0, 0, 0xfd, 0, 24, 76, 15, 83, 15, 0, 10, 32, 32, 32, 32, 32, 32,
    ]);
    block.extend(text(0xff, "1"));
    block.push(1);
    close(block)
}

fn extension(preferred: &Mode) -> Vec<u8> {
    let fits = |mode: &&Mode| mode.clock <= preferred.clock;
    let others = MODES
        .iter()
        .filter(fits)
        .filter(|mode| mode.name != preferred.name);
    let all = std::iter::once(preferred).chain(others.clone());
    // The preferred one first; every HDMI screen takes 640x480 at 60 Hz.
    let codes: Vec<u8> = all.filter_map(|mode| mode.code).chain([1]).collect();
    let count = u8::try_from(codes.len()).expect("a handful");
    let mut data = vec![0x40 | count];
    data.extend(codes);
    // HDMI, at address 1.0.0.0 (HDMI 1.4, §8.3.2).
    data.extend([0x65, 0x03, 0x0c, 0x00, 0x10, 0x00]);
    // Video capability: range of RGB selectable, nothing overscanned (CTA-861, table 88).
    data.extend([0xe2, 0x00, 0x4a]);
    let start = u8::try_from(4 + data.len()).expect("a handful");
    // CTA extension, revision 3; underscan, no audio, one native timing.
    let mut block = vec![2, 3, start, 0x81];
    block.extend(data);
    for mode in others {
        if block.len() + 18 < BLOCK {
            block.extend(detailed(mode));
        }
    }
    block.resize(BLOCK - 1, 0);
    close(block)
}

/// A detailed timing descriptor (E-EDID 1.4, §3.10.2).
fn detailed(mode: &Mode) -> [u8; 18] {
    let low = |number: u16| number.to_le_bytes()[0];
    let high = |number: u16| number.to_le_bytes()[1] & 15;
    let [width, front, sync, back] = mode.line;
    let [height, above, pulse, below] = mode.picture;
    let (blank, dark) = (front + sync + back, above + pulse + below);
    let [clock_low, clock_high] = mode.clock.to_le_bytes();
    [
        clock_low,
        clock_high,
        low(width),
        low(blank),
        high(width) << 4 | high(blank),
        low(height),
        low(dark),
        high(height) << 4 | high(dark),
        low(front),
        low(sync),
        (low(above) & 15) << 4 | (low(pulse) & 15),
        (high(front) & 3) << 6
            | (high(sync) & 3) << 4
            | (low(above >> 4) & 3) << 2
            | (low(pulse >> 4) & 3),
        // 520 x 290 mm.
        0x08,
        0x22,
        0x21,
        0,
        0,
        if mode.is_positive { 0x1e } else { 0x18 },
    ]
}

fn text(tag: u8, text: &str) -> Vec<u8> {
    let mut descriptor = vec![0, 0, 0, tag, 0];
    descriptor.extend(text.bytes());
    descriptor.push(b'\n');
    descriptor.resize(18, b' ');
    descriptor
}

fn close(mut block: Vec<u8>) -> Vec<u8> {
    let sum = block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    block.push(sum.wrapping_neg());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_preset_says_its_mode() {
        for (name, width, height, rate) in [
            ("1080p60", 1920, 1080, 60.0),
            ("1080p50", 1920, 1080, 50.0),
            ("1080p30", 1920, 1080, 30.0),
            ("720p60", 1280, 720, 60.0),
            ("720p50", 1280, 720, 50.0),
            ("1024x768", 1024, 768, 60.0),
        ] {
            let facts = Edid::preset(name).unwrap().facts();
            assert_eq!((facts.width, facts.height), (width, height), "{name}");
            assert!((facts.rate - rate).abs() < 0.01, "{name}: {}", facts.rate);
            assert_eq!(facts.maker, "BKL");
            assert_eq!(facts.name.as_deref(), Some("Bakelite"));
        }
        assert_eq!(Edid::presets().count(), 6);
        assert!(Edid::preset("8k").is_err());
    }

    #[test]
    fn every_single_bit_that_flips_is_noticed() {
        let good = Edid::preset("1080p60").unwrap().0;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Edid::read(bad).is_err(), "bit {bit}");
        }
        assert!(matches!(
            Edid::read(good[..128].to_vec()),
            Err(BadEdid::Extensions { .. })
        ));
        assert!(matches!(
            Edid::read(Vec::new()),
            Err(BadEdid::Length { .. })
        ));
    }

    #[test]
    fn hexadecimal_is_read_with_any_white_space() {
        let good = Edid::preset("720p60").unwrap();
        let text: Vec<String> = good.0.iter().map(|byte| format!("{byte:02X}")).collect();
        for separator in ["", " ", "\n"] {
            assert_eq!(Edid::from_hexadecimal(&text.join(separator)).unwrap(), good);
        }
        assert_eq!(Edid::from_hexadecimal("0"), Err(BadEdid::Hexadecimal));
        assert_eq!(Edid::from_hexadecimal("é"), Err(BadEdid::Hexadecimal));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes: Vec<u8>, blocks in 1usize..5) {
            drop(Edid::read(bytes.clone()));
            bytes.resize(BLOCK * blocks, 7);
            bytes[..8].copy_from_slice(&HEADER);
            bytes[126] = u8::try_from(blocks - 1).unwrap();
            let bytes: Vec<u8> = bytes.chunks_exact(BLOCK).flat_map(|b| close(b[..127].to_vec())).collect();
            drop(Edid::read(bytes));
        }
    }
}
