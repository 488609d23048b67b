//! Recipe → lock → packages → root tree → partitions → image → outputs.
//!
//! In: a recipe, its overlays and an archive mirror. Out: a bootable image with hashes, block map,
//! SBOM and manifest. This room never prints, never reads the environment or the wall clock, and
//! never needs root: what it must know about the host comes in a [`Host`].

pub mod event;
pub mod host;
pub mod recipe;
pub mod mirror;
pub mod download;
pub mod index;
pub mod lock;
pub mod vault;
pub mod store;
pub mod sandbox;
pub mod unpack;
pub mod dpkg;
pub mod overlay;
pub mod initramfs;
pub mod agent_package;
pub mod partitions;
pub mod firmware;
pub mod outputs;
pub mod worker;
pub mod pipeline;
pub mod disk;
pub mod boot;
pub mod diff;

pub use event::Event;
pub use host::Host;
pub use recipe::Recipe;
