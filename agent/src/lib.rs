//! What runs on the device. In: the device's own files and requests over HTTPS. Out: answers, and
//! later keys, pictures and updates. It knows nothing of apt, recipes or releases, and it never runs
//! a shell.
//!
//! Rooms: [`identity`] is who this device is, [`claim`] who may own it, [`status`] how it is,
//! [`api`] what can be asked of it, [`server`] how it is asked. Input, video, virtual media and
//! power each get a room beside these.

pub mod config;
pub mod identity;
pub mod claim;
pub mod status;
pub mod api;
pub mod server;
