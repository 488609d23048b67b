//! Files of the system that hold what was set.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use agent_device::durable;
use device_settings::{Connection, DeviceSettings};

use crate::connection;

/// Where NetworkManager reads connections.
const CONNECTIONS: &str = "etc/NetworkManager/system-connections";
/// Keys of root, the only user of the image.
const KEYS: &str = "root/.ssh/authorized_keys";
/// The agent's folder, and the code in it.
const STATE: &str = "var/lib/bakelite-agent";
const CLAIM: &str = "claim-code";
/// The country is an option of the kernel's module.
const RADIO: &str = "etc/modprobe.d/bakelite-radio.conf";

/// Writes the settings into the system below `root`. Done again it changes nothing.
pub fn apply(root: &Path, settings: &DeviceSettings) -> io::Result<()> {
    if let Some(name) = &settings.host_name {
        shared(&root.join("etc/hostname"), format!("{name}\n").as_bytes())?;
    }
    if !settings.ssh_keys.is_empty() {
        add_keys(&root.join(KEYS), &settings.ssh_keys)?;
    }
    let address = |of: Connection| {
        let address = settings.address.as_ref();
        address
            .filter(|(connection, _)| *connection == of)
            .map(|(_, address)| address)
    };
    let connections = root.join(CONNECTIONS);
    if let Some(network) = &settings.wi_fi {
        let text = connection::wi_fi(network, address(Connection::WiFi));
        durable::write(
            &connections.join("bakelite-wi-fi.nmconnection"),
            text.as_bytes(),
        )?;
        if let Some(country) = &network.country {
            let text = format!("options cfg80211 ieee80211_regdom={}\n", country.as_str());
            shared(&root.join(RADIO), text.as_bytes())?;
        }
    }
    if let Some(address) = address(Connection::Wired) {
        let text = connection::wired(address);
        durable::write(
            &connections.join("bakelite-wired.nmconnection"),
            text.as_bytes(),
        )?;
    }
    if let Some(code) = &settings.claim_code {
        let state = root.join(STATE);
        let file = state.join(CLAIM);
        durable::write(&file, code.reveal().as_bytes())?;
        let owner = fs_err::metadata(&state)?;
        chown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Writes a file that everybody may read.
fn shared(path: &Path, bytes: &[u8]) -> io::Result<()> {
    durable::write(path, bytes)?;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// Adds the keys that are not there yet.
fn add_keys(path: &Path, keys: &[String]) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder");
    fs_err::create_dir_all(folder)?;
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    let mut text = match fs_err::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        there => there?,
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for key in keys {
        if !text.lines().any(|line| line == key) {
            text.push_str(key);
            text.push('\n');
        }
    }
    durable::write(path, text.as_bytes())
}
