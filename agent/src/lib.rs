//! What runs on the device. In: the device's own files and requests over HTTPS. Out: answers, keys,
//! pictures and drives for the machine that it is plugged into. It knows nothing of apt, recipes or
//! releases, and it never runs a shell.
//!
//! Two processes of one program: [`daemon`] faces the network without any privilege, [`helper`] has
//! root and faces only the daemon. [`host`] watches the machine. The rooms beside this crate do the
//! work: `agent/input`, `agent/access`, `agent/api` and so on; this crate only puts them together.

pub mod host;
pub mod daemon;
pub mod helper;
pub mod settings;
mod update;
pub mod run;
