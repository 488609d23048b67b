//! Messages of the live socket. All are JSON objects with a `type`.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::live::state::LiveState;

/// Longest message that is read, in bytes.
pub const LONGEST: usize = 4096;

/// What a page says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromViewer {
    /// A key goes down or up.
    Key {
        /// Its name as `KeyboardEvent.code`.
        code: String,
        /// Whether it is down.
        down: bool,
    },
    /// A mouse button goes down or up.
    Button {
        /// Its number as `MouseEvent.button` has it.
        button: u8,
        /// Whether it is down.
        down: bool,
    },
    /// The pointer is at a place, 0 to 32767 on both axes.
    MoveTo {
        /// From the left.
        x: u16,
        /// From the top.
        y: u16,
    },
    /// The mouse moved.
    MoveBy {
        /// To the right.
        x: i16,
        /// Down.
        y: i16,
    },
    /// The wheel turned.
    Wheel {
        /// Steps away from the hand.
        steps: i8,
        /// Steps to the right.
        #[serde(default)]
        pan: i8,
    },
    /// The page still holds what it holds. Due every 200 ms while it holds something.
    Alive {},
    /// The page lost the focus: all goes up.
    LetGo {},
    /// The page has shown a picture of a stream.
    Shown {
        /// Number of the stream.
        stream: u64,
        /// Time of capture that the picture carries, in ticks of 90 kHz.
        captured: u32,
    },
    /// The viewer asks for control.
    RequestControl {},
    /// The viewer hands control to one who asked.
    HandOver {
        /// Number of the other's connection.
        viewer: u64,
    },
    /// The viewer refuses one who asked.
    Refuse {
        /// Number of the other's connection.
        viewer: u64,
    },
    /// An administrator takes control.
    SeizeControl {},
}

/// What the device says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToViewer<'a> {
    /// The first message: who this viewer is.
    Hello {
        /// Number of the connection.
        viewer: u64,
        /// The user.
        user: &'a str,
        /// What the user may do.
        role: agent_access::Role,
    },
    /// How things are now.
    State {
        /// All of it.
        state: &'a LiveState,
    },
    /// The last message was refused.
    Refused {
        /// Why.
        #[serde(flatten)]
        failure: &'a Failure,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<FromViewer>(text).ok();
        let key = read(r#"{"type":"key","code":"KeyA","down":true}"#);
        assert!(matches!(key, Some(FromViewer::Key { down: true, .. })));
        assert!(read(r#"{"type":"wheel","steps":-1}"#).is_some());
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"type":"key","code":"KeyA"}"#,
            r#"{"type":"move-to","x":-1,"y":0}"#,
            r#"{"type":"alive","x":1}"#,
            r#"{"type":"reboot"}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
