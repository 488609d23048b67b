//! Keyboard layouts: which strokes write a character on a host that is set to a layout.

mod table;
mod plan;

pub use plan::{CannotType, Plan, Stroke};
pub use table::{Layout, UnknownLayout};
