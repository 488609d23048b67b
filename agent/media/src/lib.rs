//! The store of images for the virtual drive. In: uploads, in as many parts and attempts as it takes,
//! and what is fetched from an address. Out: whole images with their SHA-256. What is not whole has no name that could be inserted.

pub mod range;
pub mod store;
pub mod fetch;

pub use fetch::{FetchError, Fetcher};
pub use store::{Entry, MediaError, Store};
