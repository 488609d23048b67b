//! Updates that cannot brick a device: what follows upon what happened, and the one sector that chooses a slot. In: a state and an
//! event, a disk, what a channel says. Out: the next state and what is to be done. Never touches a network, and trusts nothing.

pub mod boot;
pub mod channel;
mod command_line;
pub mod disks;
pub mod fleet;
pub mod install;
pub mod machine;
pub mod protocol;
pub mod schedule;
mod updater;

pub use command_line::{BadCommandLine, CommandLine};
pub use updater::{Firmware, UpdateError, Updater};
