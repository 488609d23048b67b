//! What runs on the device. In: the device's own files and requests over HTTPS. Out: answers, and
//! later keys, pictures and updates. It knows nothing of apt, recipes or releases, and it never runs
//! a shell.
//!
//! Rooms: [`status`] is how this device is, [`api`] what can be asked of it, [`daemon`] all of it at
//! work. [`agent_device`] is who it is and who may own it, [`agent_https`] how it is asked. Input,
//! video, virtual media and power each get a room beside these.

pub mod status;
pub mod api;
pub mod daemon;
