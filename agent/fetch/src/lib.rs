//! What is fetched over the network: images for the virtual drive, and files of update channels. In: addresses. Out: bytes, in
//! bounded amounts and bounded time. Nothing that comes is believed here: it runs without privileges, and [`wire`] hands what
//! came to whoever checks it.

pub mod channel;
mod error;
mod fetcher;
mod image;
mod policy;
pub mod wire;

pub use error::FetchError;
pub use fetcher::Fetcher;
pub use image::Fetched;
pub use policy::{Policy, is_allowed};

#[cfg(test)]
mod tests;
