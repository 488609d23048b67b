//! Updates that cannot brick a device: what follows upon what happened, and the one sector that chooses a slot. In: a state and an
//! event, a disk. Out: the next state and what is to be done. Never fetches anything, and trusts nothing.

pub mod boot;
pub mod install;
pub mod machine;
mod updater;

pub use updater::{Firmware, UpdateError, Updater};
