//! Video capture, and encoding by hardware (kernel: `Documentation/userspace-api/media/v4l/`).

mod raw;
mod device;
mod stream;
mod timings;
mod encoder;

pub use device::{Capability, Device, Format, FourCc, Ready};
pub use encoder::Encoder;
pub use stream::{Filled, Stream};
pub use timings::{NoTimings, Timings};
