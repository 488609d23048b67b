//! Who this device is, who may own it, and how it is set. In: its own files. Out: keys, certificate,
//! claim code, settings. Rooms that serve requests live beside this crate, so that a change in them
//! does not compile this again.

pub mod durable;
pub mod config;
pub mod identity;
pub mod claim;
pub mod facts;
pub mod redact;
