//! A device's updates: the state on its disk, and the deeds that follow from it. The state is flushed before each deed.

use agent_region::disk::Disk;
use agent_region::{Kind, Region, RegionError, State};

use crate::boot::{BootError, Selector};
use crate::machine::{self, Deed, Event, Refused};

/// What only the firmware can do, or who speaks for it.
pub trait Firmware {
    /// Asks for the other slot, once, at the next start. Returns when the firmware says that it will.
    fn ask_once(&mut self) -> std::io::Result<()>;
    /// Takes that back.
    fn unask(&mut self) -> std::io::Result<()>;
    /// Restarts the device. May return before it does.
    fn restart(&mut self) -> std::io::Result<()>;
}

/// An update could not go on.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The state cannot be read or written.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The event cannot happen now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The slot cannot be chosen.
    #[error("cannot tell the firmware which slot to start")]
    Boot(#[from] BootError),
    /// The firmware does not do it.
    #[error("the firmware does not do what it is asked")]
    Firmware(#[source] std::io::Error),
}

/// The updates of one disk.
#[derive(Debug)]
pub struct Updater<D, F> {
    disk: D,
    region: Region,
    firmware: F,
}

impl<D: Disk, F: Firmware> Updater<D, F> {
    /// Reads the state.
    pub fn open(mut disk: D, firmware: F) -> Result<Self, UpdateError> {
        let region = Region::read(&mut disk)?;
        Ok(Self {
            disk,
            region,
            firmware,
        })
    }

    /// Returns the state.
    pub const fn state(&self) -> &State {
        self.region.state()
    }

    /// Returns the disk.
    pub const fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Returns who speaks for the firmware.
    pub const fn firmware(&self) -> &F {
        &self.firmware
    }

    /// Returns who speaks for the firmware, to ask.
    pub const fn firmware_mut(&mut self) -> &mut F {
        &mut self.firmware
    }

    /// Tells what happened: the next state is written, then what follows is done. Returns what people may want to know.
    pub fn tell(&mut self, event: Event) -> Result<Option<String>, UpdateError> {
        let step = machine::next(self.region.state(), event)?;
        if step.state != *self.region.state() || !self.region.is_written() {
            self.region.write(&mut self.disk, step.state)?;
        }
        match step.deed {
            Deed::Nothing => {}
            Deed::AskOnce(_) => self.firmware.ask_once().map_err(UpdateError::Firmware)?,
            Deed::Unask => self.firmware.unask().map_err(UpdateError::Firmware)?,
            Deed::PointTo(slot) => self.point_to(slot)?,
            Deed::Restart => self.firmware.restart().map_err(UpdateError::Firmware)?,
            Deed::PointToAndRestart(slot) => {
                self.point_to(slot)?;
                self.firmware.restart().map_err(UpdateError::Firmware)?;
            }
        }
        Ok(step.note)
    }

    fn point_to(&mut self, slot: agent_region::Slot) -> Result<(), UpdateError> {
        Selector::find(&mut self.disk)?.point_to(&mut self.disk, slot)?;
        Ok(())
    }

    /// Notes an event for people.
    pub fn log(&mut self, time: u64, kind: Kind, text: &str) -> Result<(), UpdateError> {
        Ok(self.region.log(&mut self.disk, time, kind, text)?)
    }
}
