//! The release as a web page, for those who do not use git: what can I do now, what is the release waiting
//! for, when will it be out. Events written here go into the same journal, signed by the server's key.
//!
//! In: the release's folder, a key, a clock, randomness. Out: pages that work without JavaScript and ask nobody
//! else for anything. It never runs an automated step: credentials stay with those who have them.

mod acts;
mod evidence;
mod guard;
mod office;
mod pages;
mod server;
mod sign_in;

pub use office::{Settings, server_key};
pub use server::{ServeError, serve};
pub use sign_in::{Desk, SignInError};
