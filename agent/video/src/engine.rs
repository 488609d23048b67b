//! What encodes H.264: the device's own hardware where it has some that works, OpenH264 otherwise.

use std::io;
use std::path::Path;
use std::time::Duration;

use agent_sys::h264::{self, Encoded, Settings};
use agent_sys::jpeg::Planes;
use agent_sys::v4l2;

use crate::source;

/// An encoder that is set up.
pub(crate) trait Encode: Send {
    /// What it was made with.
    fn settings(&self) -> &Settings;
    /// Shares out other bits, if it can on the way.
    fn set_bitrate(&mut self, bitrate: u32) -> bool;
    /// Encodes a picture. Nothing if it leaves it out.
    fn encode(
        &mut self,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> io::Result<Option<Encoded>>;
}

impl Encode for h264::Encoder {
    fn settings(&self) -> &Settings {
        self.settings()
    }

    fn set_bitrate(&mut self, _bitrate: u32) -> bool {
        false
    }

    fn encode(
        &mut self,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> io::Result<Option<Encoded>> {
        let encoded = self.encode(picture, captured, force_key);
        encoded.map_err(|error| io::Error::other(error.0))
    }
}

impl Encode for v4l2::Encoder {
    fn settings(&self) -> &Settings {
        self.settings()
    }

    fn set_bitrate(&mut self, bitrate: u32) -> bool {
        self.set_bitrate(bitrate).is_ok()
    }

    fn encode(
        &mut self,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> io::Result<Option<Encoded>> {
        self.encode(picture, captured, force_key).map(Some)
    }
}

type Open = Box<dyn Fn(Settings) -> io::Result<Box<dyn Encode>> + Send>;

/// Hardware by its name, and the way to set it up.
pub(crate) struct Hardware {
    pub(crate) name: String,
    pub(crate) open: Open,
}

impl Hardware {
    /// Finds the device's encoder, by what devices say that they can.
    pub(crate) fn find() -> Option<Self> {
        let is_one = |node: &_| v4l2::Encoder::is_one(node);
        let node = source::nodes().into_iter().find(|node| is_one(node))?;
        Some(Self {
            name: node.display().to_string(),
            open: Box::new(move |settings| open(&node, settings)),
        })
    }
}

fn open(node: &Path, settings: Settings) -> io::Result<Box<dyn Encode>> {
    Ok(Box::new(v4l2::Encoder::open(node, settings)?))
}

/// The encoder in use. Hardware that fails is not asked again while anybody watches: the picture goes on
/// without it.
pub(crate) struct Engine {
    hardware: Option<Hardware>,
    current: Option<Box<dyn Encode>>,
}

impl Engine {
    pub(crate) fn new(hardware: Option<Hardware>) -> Self {
        Self {
            hardware,
            current: None,
        }
    }

    /// Returns what encodes, for people.
    pub(crate) fn name(&self) -> &str {
        let hardware = self.hardware.as_ref();
        hardware.map_or("OpenH264", |hardware| hardware.name.as_str())
    }

    /// Encodes a picture. Nothing if it is left out.
    pub(crate) fn encode(
        &mut self,
        settings: Settings,
        picture: &Planes<'_>,
        captured: Duration,
        force_key: bool,
    ) -> Option<Encoded> {
        loop {
            let encoded = match self.encoder(settings) {
                Ok(encoder) => encoder.encode(picture, captured, force_key),
                Err(error) => Err(error),
            };
            if let Ok(encoded) = encoded {
                return encoded;
            }
            self.current = None;
            self.hardware.take()?;
        }
    }

    fn encoder(&mut self, settings: Settings) -> io::Result<&mut dyn Encode> {
        let is_fit = |encoder: &mut Box<dyn Encode>| {
            let now = *encoder.settings();
            let is_same = now.bitrate == settings.bitrate;
            let bitrate = settings.bitrate;
            Settings { bitrate, ..now } == settings && (is_same || encoder.set_bitrate(bitrate))
        };
        if !self.current.as_mut().is_some_and(is_fit) {
            // A device may not open twice.
            self.current = None;
        }
        let opened = match (self.current.take(), &self.hardware) {
            (Some(encoder), _) => encoder,
            (None, Some(hardware)) => (hardware.open)(settings)?,
            (None, None) => {
                let encoder = h264::Encoder::new(settings);
                Box::new(encoder.map_err(|error| io::Error::other(error.0))?)
            }
        };
        Ok(self.current.insert(opened).as_mut())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SETTINGS: Settings = Settings {
        width: 32,
        height: 32,
        bitrate: 1_000_000,
        rate: 30,
        threads: 1,
        is_full_range: false,
    };

    /// Says its bitrate, and fails after so many pictures.
    struct Mortal {
        settings: Settings,
        left: u32,
    }

    impl Encode for Mortal {
        fn settings(&self) -> &Settings {
            &self.settings
        }

        fn set_bitrate(&mut self, bitrate: u32) -> bool {
            self.settings.bitrate = bitrate;
            true
        }

        fn encode(
            &mut self,
            _: &Planes<'_>,
            _: Duration,
            is_key: bool,
        ) -> io::Result<Option<Encoded>> {
            self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
            let bytes = self.settings.bitrate.to_be_bytes().to_vec();
            Ok(Some(Encoded { bytes, is_key }))
        }
    }

    fn hardware(pictures: u32, opened: &Arc<AtomicU32>) -> Hardware {
        let opened = Arc::clone(opened);
        Hardware {
            name: "/dev/video11".into(),
            open: Box::new(move |settings| {
                opened.fetch_add(1, Ordering::SeqCst);
                let left = pictures;
                Ok(Box::new(Mortal { settings, left }))
            }),
        }
    }

    fn encode(engine: &mut Engine, settings: Settings) -> Encoded {
        let picture = Planes {
            width: 32,
            height: 32,
            luma: (&[90; 32 * 32], 32),
            blue: (&[128; 16 * 16], 16),
            red: (&[128; 16 * 16], 16),
        };
        let encoded = engine.encode(settings, &picture, Duration::ZERO, false);
        encoded.unwrap()
    }

    #[test]
    fn hardware_takes_another_bitrate_on_the_way_and_when_it_fails_the_picture_goes_on() {
        let opened = Arc::new(AtomicU32::new(0));
        let mut engine = Engine::new(Some(hardware(2, &opened)));
        assert_eq!(encode(&mut engine, SETTINGS).bytes, [0, 15, 66, 64]);
        let faster = Settings {
            bitrate: 0x0100_0000,
            ..SETTINGS
        };
        assert_eq!(encode(&mut engine, faster).bytes, [1, 0, 0, 0]);
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        assert_eq!(engine.name(), "/dev/video11");
        // The third picture is not lost: it is a key frame of the other encoder.
        let third = encode(&mut engine, faster);
        assert!(third.is_key && third.bytes.starts_with(&[0, 0, 0, 1]));
        assert_eq!(engine.name(), "OpenH264");
        assert!(!encode(&mut engine, faster).is_key);
    }

    #[test]
    fn another_size_opens_anew_and_hardware_that_does_not_open_is_done_without() {
        let opened = Arc::new(AtomicU32::new(0));
        let mut engine = Engine::new(Some(hardware(9, &opened)));
        encode(&mut engine, SETTINGS);
        let ranged = Settings {
            is_full_range: true,
            ..SETTINGS
        };
        encode(&mut engine, ranged);
        assert_eq!(opened.load(Ordering::SeqCst), 2);
        let mut engine = Engine::new(Some(Hardware {
            name: "/dev/video11".into(),
            open: Box::new(|_| Err(io::ErrorKind::NotFound.into())),
        }));
        assert!(encode(&mut engine, SETTINGS).is_key);
        assert_eq!(engine.name(), "OpenH264");
    }
}
