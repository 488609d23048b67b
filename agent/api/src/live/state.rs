//! What all viewers see. It is small, so it is sent whole whenever it changes.

use agent_access::Role;
use agent_helper::{Drive, GadgetState, Writable};
use agent_input::Leds;
use agent_input::control::{Control, Seat};
use agent_video::VideoState;
use serde::Serialize;

use crate::v1::power::Power;

/// The state.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LiveState {
    /// What the USB controller says of the host: `configured`, `suspended`, `not attached`…; nothing
    /// without a controller.
    pub host: Option<String>,
    /// The host's keyboard lights, once it has said.
    pub leds: Option<Leds>,
    /// How it stands with the picture.
    pub video: VideoState,
    /// The same for people.
    pub video_sentence: String,
    /// The USB gadget.
    pub gadget: Option<GadgetState>,
    /// Why there is no gadget.
    pub gadget_problem: Option<String>,
    /// What is wired to the machine's front panel, and its lights.
    pub power: Power,
    /// What is in the virtual drive.
    pub drive: Option<DriveState>,
    /// Who is here.
    pub viewers: Vec<ViewerEntry>,
    /// Who controls.
    pub control: ControlState,
    /// A paste that is running, or how the last one ended.
    pub paste: Option<PasteState>,
    /// Whether the audit log cannot be written: the disk may be full.
    pub audit_fails: bool,
}

/// What is in the virtual drive. The host may eject it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriveState {
    /// Name of the image.
    pub image: String,
    /// As what the host sees it.
    pub drive: Drive,
    /// Whether the host may write.
    pub writable: Writable,
}

/// Somebody who looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ViewerEntry {
    /// Number of the connection.
    pub id: u64,
    /// The user.
    pub user: String,
    /// What the user may do.
    pub role: Role,
}

/// Who controls, and who would like to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ControlState {
    /// The one who does.
    pub holder: Option<SeatEntry>,
    /// Those who asked, the oldest first.
    pub requests: Vec<SeatEntry>,
}

/// A seat at the keyboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeatEntry {
    /// Number of the connection.
    pub viewer: u64,
    /// The user.
    pub user: String,
}

/// A paste.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PasteState {
    /// Who pastes.
    pub user: String,
    /// Key strokes typed.
    pub typed: usize,
    /// Key strokes in all.
    pub of: usize,
    /// How it ended; nothing while it runs.
    pub ended: Option<&'static str>,
}

impl ControlState {
    /// Returns what viewers see of it.
    pub fn of(control: &Control) -> Self {
        let entry = |seat: &Seat| SeatEntry {
            viewer: seat.viewer.0,
            user: seat.name.clone(),
        };
        Self {
            holder: control.holder().map(entry),
            requests: control.requests().iter().map(entry).collect(),
        }
    }
}
