//! How it stands with the picture, as people are told.

use serde::Serialize;

/// The state.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum VideoState {
    /// Nobody watches, so nothing runs.
    #[default]
    Idle,
    /// Somebody watches, and the first frame is on its way.
    Starting,
    /// There is no capture device.
    NoDevice,
    /// Nothing is on the cable.
    NoCable,
    /// There is a signal, but it is not stable.
    NoLock,
    /// There is a signal that this device cannot show.
    Unsupported {
        /// What it is.
        what: String,
    },
    /// The capture device went silent; it is being restarted.
    Stalled {
        /// What is being tried.
        remedy: &'static str,
    },
    /// Pictures come.
    Live {
        /// Pixels in a line.
        width: u32,
        /// Lines.
        height: u32,
        /// Pixel format of the device.
        format: String,
    },
}

impl VideoState {
    /// Whether pictures come.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// Returns the state as a sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Idle => "Nobody watches.".into(),
            Self::Starting => "The picture is coming.".into(),
            Self::NoDevice => "There is no capture device: is the HDMI adapter plugged in?".into(),
            Self::NoCable => "No cable on HDMI, or the host sends nothing.".into(),
            Self::NoLock => "There is a signal on HDMI, but it is not stable yet.".into(),
            Self::Unsupported { what } => {
                format!("The host sends a picture that this device cannot show ({what}).")
            }
            Self::Stalled { remedy } => format!("The capture device went silent: {remedy}."),
            Self::Live { width, height, .. } => format!("{width} × {height}"),
        }
    }
}
