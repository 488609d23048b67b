//! What the updater can be asked, and how it stands. One JSON object a line, one answer a request, over a socket.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where it listens.
pub const SOCKET: &str = "/run/bakelite-update/update.sock";
/// Longest line, either way.
pub const LINE: u64 = 64 * 1024;
/// How long an answer may take. Nothing that takes time is waited for, but for a look that is going on. Who asks from another
/// computer waits 20 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a request waits until such a look is over; most take a second.
pub const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Tell how it stands.
    Status {},
    /// Look what the channel offers.
    Look {},
    /// Count what installing the offer would fetch and write.
    Plan {},
    /// Install what the channel offers.
    Install {
        /// Version that whoever asks has seen.
        version: String,
        /// When.
        when: When,
    },
    /// Install a bundle that is on the device.
    InstallFile {
        /// The file.
        path: PathBuf,
        /// Whether the device restarts then; else it is tried at the next start.
        restarts: bool,
    },
    /// Go back to the version before.
    Back {},
    /// Stop what is being fetched and written, or take back what waits for the night, for a restart or for the end of its trial.
    /// What is written is found again later.
    Stop {},
    /// Set what the owner chose.
    Choose {
        /// All of it.
        choices: Choices,
    },
    /// Set how the device shows a fleet server who it is.
    Token {
        /// As the server gave it; nothing forgets it.
        token: Token,
    },
}

impl Request {
    /// Whether the device cannot be busy with something else.
    pub const fn needs_rest(&self) -> bool {
        match self {
            Self::Look {}
            | Self::Plan {}
            | Self::Install { .. }
            | Self::InstallFile { .. }
            | Self::Back {} => true,
            Self::Status {} | Self::Stop {} | Self::Choose { .. } | Self::Token { .. } => false,
        }
    }
}

/// A token. It cannot be printed, and no view has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes a token as somebody wrote it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Returns what the device says to the server (hawkBit: `TargetToken` is a device's, `GatewayToken` that of all); nothing if it
    /// is empty, an error if it cannot be said.
    pub fn header(&self) -> Result<Option<String>, String> {
        let text = self.0.trim();
        if text.len() > 512 || text.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err("that is no token".into());
        }
        let names = ["TargetToken ", "GatewayToken "];
        Ok(match text {
            "" => None,
            _ if names.iter().any(|name| text.starts_with(name)) => Some(text.into()),
            _ => Some(format!("{}{text}", names[0])),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// When something is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At once, and the device restarts when it is written.
    Now,
    /// The next night, by the owner's choice of hours.
    Night,
}

/// What a device does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// Nothing: it does not even look.
    Off,
    /// It looks, and says what there is.
    #[default]
    Look,
    /// It installs at night.
    Night,
}

/// What the owner chose, or the image's makers before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Choices {
    /// Address of the channel; of a fleet server that speaks hawkBit's protocol if it begins with `hawkbit+https://`.
    pub source: Option<String>,
    /// What it does by itself.
    pub automatic: Automatic,
    /// When the night begins, in minutes of the day, UTC.
    pub night_from: u16,
    /// How long it is, in minutes.
    pub night_minutes: u16,
    /// Most that is fetched in a second, in KiB.
    pub limit_kib: Option<u32>,
    /// Most that an update may fetch by itself, in MiB.
    pub most_mib: Option<u32>,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            source: None,
            automatic: Automatic::default(),
            night_from: 60,
            night_minutes: 240,
            limit_kib: None,
            most_mib: None,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// How it stands.
    View {
        /// All of it.
        view: Box<View>,
    },
    /// It was not begun.
    Refused {
        /// Why, in a sentence.
        reason: String,
    },
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct View {
    /// Version that runs.
    pub version: String,
    /// Slot that runs.
    pub slot: String,
    /// What is going on.
    pub doing: Doing,
    /// What the channel offers.
    pub offer: Option<Offered>,
    /// When it was looked last, in seconds since 1970.
    pub looked: Option<u64>,
    /// Why looking or installing failed last.
    pub problem: Option<String>,
    /// How the last update ended.
    pub outcome: Option<Ended>,
    /// The version that the owner can go back to.
    pub before: Option<String>,
    /// What installing would cost, once it was counted.
    pub plan: Option<Plan>,
    /// Version that is installed the next night.
    pub at_night: Option<String>,
    /// What the owner chose.
    pub choices: Choices,
    /// Whether the device has a token for a fleet server. Devices of before do not say.
    #[serde(default)]
    pub has_token: bool,
    /// Whether the device's firmware can be asked for a slot once. If not, a kernel that dies before its initramfs is not noticed.
    pub firmware_helps: bool,
    /// What happened last.
    pub events: Vec<Noted>,
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// Which version.
    pub version: String,
    /// Whether it is kept.
    pub is_kept: bool,
    /// Why, in a sentence.
    pub reason: String,
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Doing {
    /// Nothing.
    Rest,
    /// It looks what there is.
    Look,
    /// It counts what would be fetched and written.
    Plan,
    /// It fetches and writes.
    Install {
        /// Which version.
        version: String,
        /// Bytes that are right already.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// Bytes fetched.
        fetched: u64,
        /// Bytes written.
        written: u64,
    },
    /// A version is whole: the next start tries it.
    Wait {
        /// Which version.
        version: String,
    },
    /// A version is on trial.
    Trial {
        /// Which version.
        version: String,
        /// The checks.
        checks: Vec<Check>,
        /// For how many seconds all have held.
        healthy: u64,
        /// For how many they must.
        needed: u64,
        /// In how many seconds it goes back.
        left: u64,
    },
}

/// A check of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Why it does not hold.
    pub problem: Option<String>,
    /// Whether it is still being found out.
    pub is_pending: bool,
    /// Whether it counts: what did not hold before does not.
    pub counts: bool,
}

/// What the channel offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Offered {
    /// Version.
    pub version: String,
    /// When it was published, in seconds since 1970.
    pub published: u64,
    /// What is new.
    pub notes: Option<String>,
    /// Length of the bundle: most that may be fetched.
    pub length: u64,
    /// Whether the device takes it by itself now: its wave has come.
    pub is_due: bool,
    /// Whether the version that runs was taken back.
    pub is_retreat: bool,
}

/// What installing would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Which version.
    pub version: String,
    /// Bytes to fetch.
    pub fetch: u64,
    /// Bytes to write.
    pub write: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Noted {
    /// When, in seconds since 1970.
    pub time: u64,
    /// What.
    pub text: String,
}

/// Asks the updater.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&line(request))?;
    let mut text = Vec::new();
    BufReader::new(stream.take(LINE)).read_until(b'\n', &mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

/// Writes a line.
pub fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_devices_own_unless_it_says_otherwise() {
        let header = |text: &str| Token::new(text).header();
        assert_eq!(header(" abc \n"), Ok(Some("TargetToken abc".into())));
        let gateway = "GatewayToken abc";
        assert_eq!(header(gateway), Ok(Some(gateway.into())));
        assert_eq!(header(""), Ok(None));
        assert!(header("abc\r\nHost: elsewhere").is_err() && header("schlüssel").is_err());
        assert!(!format!("{:?}", Token::new("abc")).contains("abc"));
    }
}
