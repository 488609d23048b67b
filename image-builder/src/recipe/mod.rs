//! Recipes and overlays: what a person writes ([`written`]), what it means ([`Recipe`]), and every
//! problem found on the way ([`Problem`]).

pub mod written;
mod load;
mod meant;
mod problem;

pub use load::load;
pub use meant::{BootSettings, File, Overlay, Recipe, Source, Systemd, User};
pub use problem::{Problem, Problems};
