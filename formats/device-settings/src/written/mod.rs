//! The settings as they are written: TOML, in a file that has the same size whatever it says. Whoever fills it in
//! need not know how the boot partition keeps its files.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::address::StaticAddress;
use crate::name::HostName;
use crate::settings::{Connection, DeviceSettings, SettingsError, claim_code, keys};
use crate::wi_fi::{Country, Hidden, WiFi, WiFiName, is_password};

/// Name on the boot partition, beside `config.txt` and `cmdline.txt`: every desktop opens it in an editor.
pub const FILE: &str = "settings.txt";
/// Bytes of the file in an image: room for a few long SSH keys.
pub const SIZE: usize = 8192;

/// What the file says in an image that nobody filled in.
const EXAMPLE: &str = include_str!("example.txt");

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Text {
    #[serde(default = "one")]
    schema: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ssh: Option<Ssh>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wi_fi: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Placement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Agent>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct System {
    hostname: HostName,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Ssh {
    authorized_keys: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Network {
    name: WiFiName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Hidden>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    country: Option<Country>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Placement {
    connection: Connection,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    name_servers: Vec<Ipv4Addr>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Agent {
    claim_code: Hidden,
}

impl Text {
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        // Editors of Windows begin a file with this mark.
        let text = text.trim_start_matches('\u{feff}');
        let failed = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.bytes().take(start);
            let what = match error.message() {
                // What follows is what stands there.
                shown if shown.starts_with("invalid ") && shown.contains(", expected") => {
                    let (_, expected) = shown.rsplit_once(", ").expect("it has one");
                    format!("a value of another kind, {expected}")
                }
                message => message.to_owned(),
            };
            SettingsError::Form {
                line: before.filter(|byte| *byte == b'\n').count() + 1,
                what,
            }
        };
        let text: Self = toml::from_str(text).map_err(failed)?;
        if text.schema != 1 {
            return Err(SettingsError::Schema { found: text.schema });
        }
        Ok(text)
    }

    pub(crate) fn meant(self) -> Result<DeviceSettings, SettingsError> {
        let wi_fi = self.wi_fi.map(|network| {
            if let Some(password) = &network.password {
                is_password(password)?;
            }
            Ok::<_, SettingsError>(WiFi {
                name: network.name,
                password: network.password,
                is_hidden: network.hidden,
                country: network.country,
            })
        });
        let wi_fi = wi_fi.transpose()?;
        let address = self.network.map(|it| {
            let address = StaticAddress::new(&it.address, it.gateway, it.name_servers)?;
            Ok::<_, SettingsError>((it.connection, address))
        });
        let address = address.transpose()?;
        if matches!(address, Some((Connection::WiFi, _))) && wi_fi.is_none() {
            return Err(SettingsError::NoWiFi);
        }
        let claim = self.agent.map(|agent| agent.claim_code);
        if let Some(code) = &claim {
            claim_code(code)?;
        }
        Ok(DeviceSettings {
            host_name: self.system.map(|system| system.hostname),
            ssh_keys: keys(&self.ssh.map(|ssh| ssh.authorized_keys).unwrap_or_default())?,
            wi_fi,
            address,
            claim_code: claim,
        })
    }

    pub(crate) fn of(meant: &DeviceSettings) -> Self {
        let keys = &meant.ssh_keys;
        Self {
            schema: 1,
            system: meant.host_name.clone().map(|hostname| System { hostname }),
            ssh: (!keys.is_empty()).then(|| Ssh {
                authorized_keys: keys.clone(),
            }),
            wi_fi: meant.wi_fi.clone().map(|it| Network {
                name: it.name,
                password: it.password,
                country: it.country,
                hidden: it.is_hidden,
            }),
            network: meant.address.clone().map(|(connection, it)| Placement {
                connection,
                address: format!("{}/{}", it.address, it.prefix),
                gateway: it.gateway,
                name_servers: it.name_servers,
            }),
            agent: meant
                .claim_code
                .clone()
                .map(|claim_code| Agent { claim_code }),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        toml::to_string(self).expect("texts, numbers and lists")
    }
}

/// Returns the file of an image: how it is filled in, as comments.
pub fn example() -> Vec<u8> {
    padded(EXAMPLE, SIZE).expect("a test holds it")
}

/// Fills a text up to the size of the file; nothing if it is longer.
pub fn padded(text: &str, size: usize) -> Option<Vec<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    (bytes.len() <= size).then(|| {
        bytes.resize(size, b'\n');
        bytes
    })
}

#[cfg(test)]
mod tests;
