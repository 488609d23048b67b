//! What `bakelite release run` does for a step: asks the world how it is, says what it would do, does it,
//! and takes it back.
//!
//! In: a release as replay sees it, a step, the candidate's files. Out: files, pages, releases, messages. The
//! journal is the caller's: this room says what to record and never writes it. Secrets come by name from the
//! caller and go nowhere but into requests.

mod actions;
mod assets;
mod attempt;
mod error;
mod github;
mod handoff;
mod http;
mod job;
mod pages;
mod signing;
mod stores;
pub mod sync;
mod texts;

pub use actions::{Action, Probe, of_step};
pub use attempt::{AttemptError, carry_out};
pub use error::ActionError;
pub use handoff::bundle;
pub use job::{Job, Secret, Secrets};
pub use stores::{Content, Put, Store, open as open_store};
pub use texts::release_notes;
