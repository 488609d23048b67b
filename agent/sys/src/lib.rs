//! Kernel calls that Rust's standard library has no safe form of. All `unsafe` of the agent is here,
//! behind functions that cannot be misused. It decides nothing.

#![expect(
    unsafe_code,
    reason = "the one room for it: every block says why it is sound"
)]

pub mod watched;
pub mod mailbox;
pub mod v4l2;
pub mod h264;
pub mod jpeg;
