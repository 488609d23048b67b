//! The helper that runs as root, and how the unprivileged daemon asks it. In: requests of a small
//! typed protocol over a socket. Out: changes of the USB gadget, of virtual media, of the network and
//! of the machine.
//! It never runs a shell, never takes a path from anyone, and never listens to the network.

pub mod protocol;
pub mod client;
pub mod gadget;
pub mod media;
pub mod claim_file;
pub mod reset;
pub mod usb;
pub mod server;

pub use client::{Client, HelperError};
pub use protocol::{Answer, Drive, GadgetState, ImageName, Medium, Profile, Request, Writable};
