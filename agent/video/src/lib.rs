//! The picture of the machine. In: frames of a capture device. Out: JPEG pictures, H.264,
//! and honest states.
//!
//! One capture and one encoding serve all viewers; nothing runs while nobody watches. Every viewer
//! gets the newest picture when it can take one ([`hub`]): a slow one costs the others nothing.

pub mod state;
pub mod jpeg;
pub mod planar;
pub mod meter;
pub mod hub;
pub mod units;
pub mod source;
pub mod edid;
pub mod encode;
pub mod engine;
pub mod encode_h264;
pub mod capture;
pub mod video;

pub use hub::Picture;
pub use state::VideoState;
pub use units::Unit;
pub use video::{Settings, Video};
