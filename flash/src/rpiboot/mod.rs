//! Boards in USB boot mode (`rpiboot`): compute modules, and Raspberry Pi 4 and 5 with their button held. In: a
//! board that waits, and a folder of Raspberry Pi's boot files. Out: a board that shows its storage as a
//! USB disk, and what it told of itself.
//!
//! The protocol is that of the boot ROM and of `bootcode` (raspberrypi/usbboot). It has two stages, and the
//! board leaves the bus and comes back after each: it is followed by the port that it is plugged into.
//! No boot files are part of this program, and no other files are ever taken instead of those that were
//! named.

mod chip;
mod files;
mod protocol;
mod session;
mod usb;

pub use chip::{Chip, VENDOR};
pub use files::{BootFiles, FilesError};
pub use protocol::{Facts, ProtocolError, Transport};
pub use session::{Bus, Found, SessionError, State, boot};
pub use usb::UsbBus;

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
