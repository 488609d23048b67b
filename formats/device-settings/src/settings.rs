//! The settings as they are meant.

use crate::address::{BadAddress, StaticAddress};
use crate::name::HostName;
use crate::wi_fi::{BadWiFi, Hidden, WiFi};
use crate::written::{SIZE, Text};

/// Most keys that may open a device: more come from a slip.
const KEYS: usize = 32;
/// Fewest letters and digits of a claim code: it must not be guessed over a network.
const CLAIM: usize = 8;
/// Kinds of keys that OpenSSH takes (sshd(8), on the format of its file of keys).
const KINDS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Which connection an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// The cable.
    Wired,
    /// Wi-Fi.
    WiFi,
}

/// Settings of one device. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSettings {
    /// Its name on the network.
    pub host_name: Option<HostName>,
    /// Keys that open it over SSH, as in `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// The Wi-Fi network that it joins.
    pub wi_fi: Option<WiFi>,
    /// The address that it keeps.
    pub address: Option<(Connection, StaticAddress)>,
    /// The code with which its owner claims it.
    pub claim_code: Option<Hidden>,
}

/// The text is none that a device takes.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is too long.
    #[error("the settings have {found} bytes, and {SIZE} is the most")]
    TooLong {
        /// Bytes.
        found: usize,
    },
    /// It is not of the form.
    #[error("line {line} of the settings: {what}")]
    Form {
        /// Where, from 1.
        line: usize,
        /// What is wrong with it. Never what stands there: it may be a password.
        what: String,
    },
    /// A newer program wrote it.
    #[error("the settings have schema {found}, and this program knows 1")]
    Schema {
        /// Its number.
        found: u32,
    },
    /// Wi-Fi.
    #[error("wi-fi")]
    WiFi(#[from] BadWiFi),
    /// The address.
    #[error("network")]
    Address(#[from] BadAddress),
    /// An address for Wi-Fi, and no Wi-Fi.
    #[error("the address is for Wi-Fi, but there is no [wi-fi]")]
    NoWiFi,
    /// A key that is none.
    #[error("“{0}…” is no public SSH key: take the line of a file such as id_ed25519.pub")]
    Key(String),
    /// Too many keys.
    #[error("{0} SSH keys are too many: {KEYS} is the most")]
    Keys(usize),
    /// A claim code that could be guessed.
    #[error(
        "a claim code has at least {CLAIM} letters and digits, and at most 64 characters: A-Z, 0-9 and hyphens"
    )]
    Claim,
}

impl DeviceSettings {
    /// Reads a text. One without settings, such as the example, gives none.
    pub fn read(text: &str) -> Result<Self, SettingsError> {
        if text.len() > SIZE {
            return Err(SettingsError::TooLong { found: text.len() });
        }
        Text::parse(text)?.meant()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks settings that did not come as a text.
    pub fn check(&self) -> Result<(), SettingsError> {
        Self::read(&self.to_text()?).map(drop)
    }

    /// Writes them as a text.
    pub fn to_text(&self) -> Result<String, SettingsError> {
        let text = Text::of(self).to_text();
        if text.len() > SIZE {
            return Err(SettingsError::TooLong { found: text.len() });
        }
        Ok(text)
    }
}

/// Checks a key as far as its form goes; the device's SSH server reads what is in it.
pub(crate) fn key(line: &str) -> Result<String, SettingsError> {
    let line = line.trim();
    let bad = || SettingsError::Key(line.chars().take(20).collect());
    let mut parts = line.split(' ');
    let (kind, blob) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || b"+/=".contains(&c);
    let is_good = KINDS.contains(&kind)
        && blob.len() >= 32
        && blob.bytes().all(is_base64)
        && !line.chars().any(char::is_control);
    is_good.then(|| line.to_owned()).ok_or_else(bad)
}

pub(crate) fn keys(lines: &[String]) -> Result<Vec<String>, SettingsError> {
    if lines.len() > KEYS {
        return Err(SettingsError::Keys(lines.len()));
    }
    lines.iter().map(|line| key(line)).collect()
}

pub(crate) fn claim_code(code: &Hidden) -> Result<(), SettingsError> {
    let text = code.reveal();
    let is_good = text.len() <= 64
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && text.bytes().filter(u8::is_ascii_alphanumeric).count() >= CLAIM;
    is_good.then_some(()).ok_or(SettingsError::Claim)
}
