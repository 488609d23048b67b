//! Writes images to cards, sticks and modules. In: an image and the devices that somebody chose. Out: each
//! device whole and read back, or one that does not boot, and a word on which it is.
//!
//! [`device`] finds disks in sysfs and says which may be written at all; [`source`] opens an image,
//! whatever it is compressed with; [`mod@write`] takes it to any number of devices at once. What boots a
//! device, its first blocks, goes there last.

pub mod device;
mod memory;
pub mod source;
pub mod package;
pub mod signature;
pub mod settings;
pub mod rpiboot;
pub mod write;

pub use device::{Device, Devices, Verdict};
pub use package::{Package, PackageError};
pub use signature::{SignatureError, Signers};
pub use source::Source;
