//! What the daemon may ask for. One JSON object a line, one answer a request.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use agent_network::{Found, Hidden, HostName, NetworkState, Plan, WiFiName};
use serde::{Deserialize, Serialize};

use crate::usb::UsbPlace;

/// Longest line, either way: nothing that can be asked for is near it.
pub const LINE: usize = 64 * 1024;
/// Longest name of an image (what file systems allow).
const NAME: usize = 255;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make the USB gadget, or make it anew with another profile.
    UseProfile {
        /// What the host shall see.
        profile: Profile,
    },
    /// Plug the gadget in or pull it out, as the host sees it.
    Connect {
        /// Whether it is plugged in.
        connected: bool,
    },
    /// Put an image into the drive.
    Insert {
        /// Which and how.
        medium: Medium,
    },
    /// Take the image out, whether the host likes it or not.
    Eject {},
    /// Put the claim code where its owner finds it: on the boot partition, which any computer reads.
    ShowClaimCode {
        /// The code.
        code: ClaimText,
    },
    /// Take it away: the device has an owner.
    HideClaimCode {},
    /// Something about the network.
    Network {
        /// What.
        request: NetworkRequest,
    },
    /// Reset the capture dongle that is plugged in there.
    ResetUsb {
        /// Where.
        place: UsbPlace,
    },
    /// Make the device as if it were new, and restart it.
    FactoryReset {},
    /// Restart the device.
    Restart {},
    /// Switch the device off.
    PowerOff {},
}

/// A request about the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkRequest {
    /// Tell how it is.
    Read {},
    /// Tell which Wi-Fi networks are in reach.
    Search {
        /// The radio's interface.
        interface: String,
    },
    /// Forget a Wi-Fi network and its password.
    Forget {
        /// Name of the network.
        name: WiFiName,
    },
    /// Try another address for an interface, or another Wi-Fi network. It is taken back unless it is kept
    /// in time.
    Change {
        /// The interface.
        interface: String,
        /// What is wanted.
        plan: Plan,
        /// Seconds until it is taken back.
        seconds: u64,
        /// With this it can be kept.
        token: Hidden,
    },
    /// Keep the change on trial.
    Keep {
        /// What the change was made with.
        token: Hidden,
        /// Address of this device that whoever keeps it came to.
        local: IpAddr,
    },
    /// Take the change on trial back now.
    Revert {},
    /// Give the device another name.
    Rename {
        /// The name.
        name: HostName,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// It is done.
    Done,
    /// The gadget as it is now.
    Gadget {
        /// Its state.
        gadget: GadgetState,
    },
    /// How the network is.
    Network {
        /// All of it.
        network: NetworkState,
    },
    /// Wi-Fi networks in reach.
    Networks {
        /// The strongest first.
        networks: Vec<Found>,
    },
    /// It could not be done.
    Failed {
        /// Why, for people: the error and its causes.
        reason: String,
    },
}

/// What the host sees on its USB port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A keyboard and nothing else: for firmware that is confused by more.
    BiosSafe,
    /// Keyboard, both mice and a drive.
    #[default]
    Full,
    /// Keyboard, absolute mouse and a drive: for Macs.
    Mac,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BiosSafe, Self::Full, Self::Mac];
}

/// An image in the drive, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Medium {
    /// Name of the image in the device's store.
    pub image: ImageName,
    /// As what the host sees it.
    pub drive: Drive,
    /// Whether the host may write.
    pub writable: Writable,
}

/// Kind of drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drive {
    /// A CD or DVD drive.
    Cd,
    /// A USB disk.
    Disk,
}

/// Whether the host may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writable {
    /// It may not.
    #[default]
    ReadOnly,
    /// It may: the image changes.
    ReadWrite,
}

/// A claim code as it is shown: capital letters, digits and hyphens, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimText(String);

/// The text is no claim code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim code has 1 to 32 capital letters, digits and hyphens")]
pub struct BadClaimText;

impl TryFrom<String> for ClaimText {
    type Error = BadClaimText;

    fn try_from(text: String) -> Result<Self, BadClaimText> {
        let is_good = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|c| matches!(c, b'A'..=b'Z' | b'0'..=b'9' | b'-'));
        is_good.then_some(Self(text)).ok_or(BadClaimText)
    }
}

impl From<ClaimText> for String {
    fn from(text: ClaimText) -> Self {
        text.0
    }
}

impl ClaimText {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Name of an image: one part of a path, nothing hidden, nothing that leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// The text is no name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "“{name}” is no name for an image: it must be 1 to 255 bytes, not begin with a dot, and have no slash or control character"
)]
pub struct BadImageName {
    /// The text.
    pub name: String,
}

impl ImageName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = BadImageName;

    fn from_str(name: &str) -> Result<Self, BadImageName> {
        let is_good = (1..=NAME).contains(&name.len())
            && !name.starts_with('.')
            && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
        if is_good {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadImageName {
                name: name.chars().take(80).collect(),
            })
        }
    }
}

impl TryFrom<String> for ImageName {
    type Error = BadImageName;

    fn try_from(name: String) -> Result<Self, BadImageName> {
        name.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The gadget as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GadgetState {
    /// What the host sees.
    pub profile: Profile,
    /// Name of the controller below `/sys/class/udc`.
    pub controller: String,
    /// Device node of the keyboard, below `/dev`.
    pub keyboard: Option<String>,
    /// Device node of the absolute mouse.
    pub absolute_mouse: Option<String>,
    /// Device node of the relative mouse.
    pub relative_mouse: Option<String>,
    /// Whether there is a drive.
    pub has_drive: bool,
    /// Whether a report may wake a sleeping host: not every kernel can.
    pub can_wake: bool,
}

/// Reads one line.
pub fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(line)
}

/// Writes one line, its end included.
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("plain data without maps");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_name_leads_nowhere_else() {
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "a\nb",
            "a\0b",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(256).parse::<ImageName>().is_err());
        for good in ["debian-13.iso", "Été (2).img", "a..b"] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        let line =
            br#"{"ask":"insert","medium":{"image":"../x","drive":"cd","writable":"read-only"}}"#;
        assert!(read::<Request>(line).is_err());
    }

    #[test]
    fn requests_are_read_as_they_were_written_and_nothing_else_is() {
        let request = Request::Insert {
            medium: Medium {
                image: "a.iso".parse().unwrap(),
                drive: Drive::Cd,
                writable: Writable::ReadOnly,
            },
        };
        let written = line(&request);
        assert_eq!(read::<Request>(&written).unwrap(), request);
        assert!(read::<Request>(br#"{"ask":"show-claim-code","code":"AB-23"}"#).is_ok());
        assert!(read::<Request>(br#"{"ask":"show-claim-code","code":"a\n../b"}"#).is_err());
        assert!(read::<Request>(br#"{"ask":"run","command":"sh"}"#).is_err());
        assert!(read::<Request>(br#"{"ask":"eject","now":true}"#).is_err());
    }
}
