//! dpkg's work without dpkg: its database, maintainer scripts and triggers, in its order.
//!
//! Policy chapter 6, deb-triggers(5) and dpkg's own documentation of `/var/lib/dpkg` say what is
//! done here. It all happens inside the tree that the worker is confined to.

mod database;
mod script;
mod triggers;
mod install;

pub use database::{Database, DatabaseError};
pub use install::{InstallError, Installer, PackageFile};
pub use script::{ScriptError, Scripts};
