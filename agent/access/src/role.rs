//! What a user may do.

use serde::{Deserialize, Serialize};

/// A role. Each may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks at the screen.
    Viewer,
    /// Types, moves the mouse, inserts media, presses the power button.
    Operator,
    /// Sets the device up and decides who may use it.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];
}
