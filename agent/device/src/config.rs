//! Settings of the agent: each part's own settings in one file. Every key has a default that works.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Address and port of HTTPS.
    pub listen: SocketAddr,
    /// Folder for the device's key, certificate and claim.
    pub state: PathBuf,
    /// Node of the capture device; the first that captures a screen if absent.
    pub video: Option<PathBuf>,
    /// Socket of the helper.
    pub helper: PathBuf,
    /// More names under which the device is reached, such as one in the local DNS.
    pub names: Vec<String>,
    /// Whether clients of the `PiKVM` kind may sign in with users' passwords: they send them with every
    /// request, so a token is better.
    pub passwords_for_clients: bool,
    /// Most connections at a time: bounds memory under a flood.
    pub connections: usize,
    /// GPIO lines that are wired to the machine's buttons and lights.
    pub atx: AtxConfig,
    /// More GPIO lines by names of their own, such as a lamp or a relay.
    pub gpio: BTreeMap<String, ChannelConfig>,
}

/// What is wired to the machine's front panel; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AtxConfig {
    /// Closes the contact of the power button.
    pub power_button: Option<LineConfig>,
    /// Closes the contact of the reset button.
    pub reset_button: Option<LineConfig>,
    /// Sees the power light.
    pub power_light: Option<LineConfig>,
    /// Sees the disk light.
    pub disk_light: Option<LineConfig>,
}

/// A GPIO line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LineConfig {
    /// Its name, such as `GPIO23`, or chip and number, such as `gpiochip0:23`.
    pub line: String,
    /// Whether low is on.
    #[serde(default)]
    pub active_low: bool,
}

/// Whether a line is driven or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It is seen.
    Input,
    /// It is driven.
    Output,
}

/// A GPIO line with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChannelConfig {
    /// Its name, such as `GPIO23`, or chip and number, such as `gpiochip0:23`.
    pub line: String,
    /// Whether it is driven or seen.
    pub direction: Direction,
    /// Whether low is on.
    #[serde(default)]
    pub active_low: bool,
    /// What people read; the name if absent.
    pub label: Option<String>,
    /// Length of a pulse.
    #[serde(default = "pulse")]
    pub pulse_milliseconds: u64,
}

impl ChannelConfig {
    /// Returns the line alone.
    pub fn line(&self) -> LineConfig {
        LineConfig {
            line: self.line.clone(),
            active_low: self.active_low,
        }
    }
}

/// What the coil of a relay needs, with room.
fn pulse() -> u64 {
    100
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], 443)),
            state: "/var/lib/bakelite-agent".into(),
            video: None,
            helper: "/run/bakelite/helper.sock".into(),
            names: Vec::new(),
            passwords_for_clients: false,
            connections: 256,
            atx: AtxConfig::default(),
            gpio: BTreeMap::new(),
        }
    }
}

/// The settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read the settings")]
    Read(#[source] std::io::Error),
    /// The file is malformed.
    #[error("the settings are malformed")]
    Parse(#[source] Box<toml::de::Error>),
}

impl Config {
    /// Reads the settings; a missing file means the defaults.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        match fs_err::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Parse(Box::new(error))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Read(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_means_the_defaults_and_an_unknown_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        assert_eq!(Config::load(&file).unwrap().listen.port(), 443);
        fs_err::write(&file, "listen = \"127.0.0.1:8443\"\n").unwrap();
        assert_eq!(Config::load(&file).unwrap().listen.port(), 8443);
        let atx = "[atx]\npower-button = { line = \"GPIO23\" }\npower-light = { line = \"gpiochip0:24\", active-low = true }\n";
        fs_err::write(&file, atx).unwrap();
        let atx = Config::load(&file).unwrap().atx;
        assert!(!atx.power_button.unwrap().active_low && atx.power_light.unwrap().active_low);
        let gpio = "[gpio.lamp]\nline = \"GPIO17\"\ndirection = \"output\"\n";
        fs_err::write(&file, gpio).unwrap();
        assert_eq!(
            Config::load(&file).unwrap().gpio["lamp"].pulse_milliseconds,
            100
        );
        fs_err::write(&file, "lisen = \"x\"\n").unwrap();
        assert!(Config::load(&file).is_err());
    }
}
