//! The store of images for the virtual drive. In: contents, in as many parts and
//! attempts as it takes. Out: whole images with their SHA-256. What is not whole has no name that could be inserted.

pub mod range;
pub mod store;

pub use store::{Entry, MediaError, Store};
