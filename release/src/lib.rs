//! A built candidate becomes a published release: a checklist that a team shares, bound to the bytes.
//!
//! In: a template, a journal of signed events, an artifact manifest. Out: what is done, what is next
//! and for whom, and the published files. This room never prints, never reads the clock or the
//! environment, and knows nothing of how images are built.

pub mod journal;
pub mod run;
pub mod opened;
pub mod sheet;
pub mod built_in;
pub mod candidate;
pub mod evidence;
pub mod changelog;
pub mod advisory;
pub mod cost;
pub mod template;
