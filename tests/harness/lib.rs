//! The test world: bakelite in a clean environment, Debian packages made to order, and a signed
//! mirror on loopback that misbehaves on command.

pub mod bakelite;
pub mod package;
pub mod archive;
pub mod mirror;
pub mod browser;
pub mod cut;
pub mod device;
pub mod github;
pub mod hawkbit;
pub mod serve;
#[expect(clippy::cast_possible_truncation, reason = "small disks")]
pub mod slots;
pub mod station;
pub mod store;
pub mod team;
pub mod terminal;
