//! `PiKVM`'s wire format (kvmd 4), so that programs written for it work unchanged: under the same
//! roles as all else, with a token in the place of the password. Passwords of users only where the
//! settings allow it, because these clients send them with every request.

pub mod envelope;
pub mod identify;
pub mod state;
pub mod atx;
pub mod gpio;
pub mod log;
pub mod system;
pub mod hid;
pub mod msd;
pub mod streamer;
pub mod media;
pub mod socket;
