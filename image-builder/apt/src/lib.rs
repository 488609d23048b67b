//! Debian archives as data: in, the bytes of signed indexes and `.deb` files; out, verified
//! releases, package records, a solved package set and package contents.
//!
//! This room opens no connection, reads no clock and writes no file: bytes and `now` are arguments.

pub mod version;
pub mod control;
pub mod relation;
pub mod signature;
pub mod release;
pub mod package;
pub mod universe;
pub mod solver;
pub mod deb;

pub use deb::DebFile;
pub use package::Package;
pub use release::{Release, Verified};
pub use signature::Keyring;
pub use universe::Universe;
pub use version::DebVersion;
