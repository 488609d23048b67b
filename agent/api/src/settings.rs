//! What users chose, kept across restarts.

use std::io;
use std::path::Path;

use agent_helper::Profile;
use agent_power::MacAddress;
use serde::{Deserialize, Serialize};

const FILE: &str = "settings.json";

/// The choices. Those of a newer version that this one does not know are lost when it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Settings {
    /// What the host sees on its USB port.
    pub profile: Profile,
    /// Quality of encoded JPEG, 1 to 100.
    pub quality: u8,
    /// Bits a second of H.264.
    pub bitrate: u32,
    /// After how many idle seconds the mouse is moved a little; 0 is never.
    pub jiggle_after: u64,
    /// Machines that are woken over the network, by name.
    pub machines: Vec<Machine>,
}

/// A machine that is woken over the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Address of its network card.
    pub address: MacAddress,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            quality: 80,
            bitrate: 5_000_000,
            jiggle_after: 0,
            machines: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the file. One that is missing or damaged means the defaults: the device must start.
    pub fn load(folder: &Path) -> Self {
        let bytes = fs_err::read(folder.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes the file so that it is whole after a power cut.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).expect("plain data");
        agent_device::durable::write(&folder.join(FILE), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_kept_and_damage_means_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(folder.path()), Settings::default());
        let chosen = Settings {
            profile: Profile::Mac,
            jiggle_after: 60,
            ..Settings::default()
        };
        chosen.save(folder.path()).unwrap();
        assert_eq!(Settings::load(folder.path()), chosen);
        fs_err::write(folder.path().join(FILE), "{\"profile\":\"m").unwrap();
        assert_eq!(Settings::load(folder.path()), Settings::default());
        fs_err::write(folder.path().join(FILE), "{\"newer\":1,\"jiggle-after\":5}").unwrap();
        assert_eq!(Settings::load(folder.path()).jiggle_after, 5);
    }
}
