//! Video capture (kernel: `Documentation/userspace-api/media/v4l/`).

mod raw;
mod device;
mod stream;
mod timings;

pub use device::{Capability, Device, Format, FourCc, Ready};
pub use stream::{Filled, Stream};
pub use timings::{NoTimings, Timings};
