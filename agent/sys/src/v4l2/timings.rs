//! What an HDMI receiver sees on its cable, and what it says that it can show.

use std::io;

use nix::errno::Errno;

use super::device::Device;
use super::raw;

/// The timings of a picture.
#[derive(Clone, Copy)]
pub struct Timings(raw::DvTimings);

impl std::fmt::Debug for Timings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}x{} at {:.2} Hz",
            self.width(),
            self.height(),
            self.rate()
        )
    }
}

impl PartialEq for Timings {
    fn eq(&self, other: &Self) -> bool {
        let facts = |timings: &Self| {
            let clock = timings.0.bt.pixel_clock;
            (timings.width(), timings.height(), clock)
        };
        facts(self) == facts(other)
    }
}

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTimings {
    /// No cable, or the host sends nothing (ENOLINK).
    NoCable,
    /// There is a signal, but it is not stable (ENOLCK).
    NoLock,
    /// The signal is outside of what the receiver can (ERANGE).
    OutOfRange,
    /// This device knows nothing of timings: a capture dongle does not (ENOTTY, ENODATA).
    Unknown,
    /// The device does not answer.
    Failed(i32),
}

impl Timings {
    /// Returns the pixels in a line.
    pub fn width(&self) -> u32 {
        self.0.bt.width
    }

    /// Returns the lines.
    pub fn height(&self) -> u32 {
        self.0.bt.height
    }

    /// Returns the pictures a second.
    #[expect(clippy::cast_precision_loss, reason = "clocks are far below 2^52")]
    pub fn rate(&self) -> f64 {
        let bt = self.0.bt;
        let sum = |parts: [u32; 3]| parts.iter().map(|part| u64::from(*part)).sum::<u64>();
        let line = u64::from(bt.width) + sum(bt.horizontal);
        let lines = u64::from(bt.height) + sum(bt.vertical);
        bt.pixel_clock as f64 / (line.max(1) * lines.max(1)) as f64
    }
}

impl Device {
    /// Asks what is on the cable.
    pub fn query_timings(&self) -> Result<Timings, NoTimings> {
        let mut raw = empty();
        // SAFETY: the structure is the one of this call and lives throughout it.
        match unsafe { raw::query_timings(self.fd(), &raw mut raw) } {
            Ok(_) => Ok(Timings(raw)),
            Err(Errno::ENOLINK) => Err(NoTimings::NoCable),
            Err(Errno::ENOLCK) => Err(NoTimings::NoLock),
            Err(Errno::ERANGE) => Err(NoTimings::OutOfRange),
            Err(Errno::ENOTTY | Errno::ENODATA | Errno::EINVAL) => Err(NoTimings::Unknown),
            Err(error) => Err(NoTimings::Failed(error as i32)),
        }
    }

    /// Receives with these timings from now on. Not while streaming.
    pub fn set_timings(&self, timings: &Timings) -> io::Result<()> {
        let mut raw = timings.0;
        // SAFETY: the structure is the one of this call and lives throughout it.
        unsafe { raw::set_timings(self.fd(), &raw mut raw) }?;
        Ok(())
    }

    /// Reads the EDID: whole blocks of 128 bytes.
    pub fn edid(&self) -> io::Result<Vec<u8>> {
        // 256 blocks is the most that there can be.
        let mut data = vec![0; 256 * 128];
        let mut raw = raw::Edid {
            pad: 0,
            start: 0,
            blocks: 256,
            reserved: [0; 5],
            data: data.as_mut_ptr(),
        };
        // SAFETY: the memory behind `data` has room for the blocks that are asked for.
        unsafe { raw::get_edid(self.fd(), &raw mut raw) }?;
        data.truncate(usize::try_from(raw.blocks).unwrap_or(0) * 128);
        Ok(data)
    }

    /// Writes the EDID: the host sees the plug pulled and put in again.
    pub fn set_edid(&self, data: &[u8]) -> io::Result<()> {
        let mut data = data.to_vec();
        let blocks = u32::try_from(data.len() / 128).map_err(io::Error::other)?;
        let mut raw = raw::Edid {
            pad: 0,
            start: 0,
            blocks,
            reserved: [0; 5],
            data: data.as_mut_ptr(),
        };
        // SAFETY: the memory behind `data` has as many blocks as are named.
        unsafe { raw::set_edid(self.fd(), &raw mut raw) }?;
        Ok(())
    }
}

fn empty() -> raw::DvTimings {
    raw::DvTimings {
        kind: raw::TIMINGS_BT,
        bt: raw::BtTimings {
            width: 0,
            height: 0,
            interlaced: 0,
            polarities: 0,
            pixel_clock: 0,
            horizontal: [0; 3],
            vertical: [0; 3],
            second_field: [0; 3],
            standards: 0,
            flags: 0,
            rest: [0; 56],
        },
        rest: [0; 4],
    }
}
