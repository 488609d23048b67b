//! User, mount, process, network, IPC and host-name namespaces in which everything runs that needs
//! root, runs foreign code, or reads what a package brought.
//!
//! The parent side starts this program again as a worker ([`run`]); the worker side makes the
//! namespaces and confines itself to one tree ([`enter`]). No step needs root on the host: an
//! ordinary user's subordinate ids (subuid(5)) give every file its real owner.

mod identity;
mod launch;
mod confine;
mod native;
mod flush;

pub use confine::{Bind, Confinement, Root, enter, enter_namespaces, mount_run, show, umount_all};
pub use flush::ignore_flushes;
pub use identity::{Identity, IdentityError};
pub use launch::{Network, Running, SandboxError, run, start};
pub use native::Natives;
