//! The socket of a page: what happens on the device goes out, what its viewer does comes in.

pub mod message;
pub mod socket;
pub mod state;
