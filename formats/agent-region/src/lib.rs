//! What a device remembers about its slots and updates, outside every file system: 64 KiB between the partition table and
//! the first partition. In: a disk; out: the newest whole record, and the last events. `SPEC.md` beside this is the format.
//! Decides nothing: what follows upon what is said in the agent.

pub mod disk;
mod record;
mod ring;
mod state;

use std::io;

pub use disk::Disk;
pub use ring::{Entry, Kind};
pub use state::{Other, Outcome, Phase, Slot, State, Update, Way};

use record::Position;

/// Where the region begins on the disk, in bytes.
pub const OFFSET: u64 = 1 << 20;
/// Its length in bytes.
pub const LENGTH: u64 = 64 << 10;

/// The region cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The disk failed.
    #[error("cannot read or write the agent's region at {OFFSET} of the disk")]
    Disk(#[from] io::Error),
    /// A newer agent wrote it.
    #[error("the agent's region has format {found}, and this program knows {known}: update it, or flash the card again", known = record::FORMAT)]
    Newer {
        /// Format found.
        found: u32,
    },
    /// The state is too long for its place.
    #[error("the state of the device has {length} bytes, and its record has room for {room}", room = record::ROOM)]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
}

/// The region of one disk, as last read or written.
#[derive(Debug)]
pub struct Region {
    state: State,
    last: Option<Position>,
    next_entry: u64,
}

impl Region {
    /// Reads the region. A disk that was never booted has an empty one: the first slot is good, nothing is going on.
    pub fn read(disk: &mut impl Disk) -> Result<Self, RegionError> {
        let (state, last) = match record::newest(disk)? {
            Some((state, position)) => (state, Some(position)),
            None => (State::default(), None),
        };
        let next_entry = ring::read(disk)?.last().map_or(1, |entry| entry.number + 1);
        Ok(Self {
            state,
            last,
            next_entry,
        })
    }

    /// Returns the state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether a state was ever written.
    pub const fn is_written(&self) -> bool {
        self.last.is_some()
    }

    /// Writes a new state over the older of both records, and returns when the disk has it. When it does not come that far,
    /// the newer record still holds.
    pub fn write(&mut self, disk: &mut impl Disk, state: State) -> Result<(), RegionError> {
        let position = record::write(disk, self.last, &state)?;
        self.last = Some(position);
        self.state = state;
        Ok(())
    }

    /// Adds an event over the oldest one. It is there for people: nothing is decided by it.
    pub fn log(
        &mut self,
        disk: &mut impl Disk,
        time: u64,
        kind: Kind,
        text: &str,
    ) -> Result<(), RegionError> {
        ring::write(disk, self.next_entry, time, kind, text)?;
        self.next_entry += 1;
        Ok(())
    }

    /// Returns the last events, the oldest first.
    pub fn events(disk: &mut impl Disk) -> Result<Vec<Entry>, RegionError> {
        Ok(ring::read(disk)?)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]
mod tests;
