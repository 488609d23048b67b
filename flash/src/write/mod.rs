//! Taking an image to disks. One thread unpacks; each disk has a thread of its own that writes, reads back
//! and writes the first blocks last.

mod chunk;
mod disk;
mod image;
mod probe;
mod queue;
mod target;
mod spread;

pub use chunk::{CHUNK, Chunk};
pub use disk::{BlockDevice, Disk, OpenError};
pub use image::Image;
pub use probe::{Capacity, probe};
pub use spread::{Report, Settings, Spread, run};
pub use target::{Content, Failure, Plan, Stage, Written};

#[cfg(test)]
mod tests;
