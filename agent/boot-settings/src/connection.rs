//! Connections as NetworkManager keeps them (nm-settings-keyfile(5)).

use device_settings::{Hidden, StaticAddress, WiFi};

/// Writes the profile of a Wi-Fi network.
pub(crate) fn wi_fi(network: &WiFi, address: Option<&StaticAddress>) -> String {
    // Bytes, so that no name can be taken for anything else.
    let name = list(network.name.as_str().bytes());
    let mut text = format!(
        "[connection]\nid={}\ntype=wifi\nautoconnect-priority=10\n\n[wifi]\nmode=infrastructure\nssid={name}\n",
        escaped(network.name.as_str())
    );
    if network.is_hidden {
        text.push_str("hidden=true\n");
    }
    // A radio that sleeps answers late.
    text.push_str("powersave=2\n");
    if let Some(password) = &network.password {
        let password = escaped(Hidden::reveal(password));
        // WPA2 and WPA3, as NetworkManager has it.
        text.push_str(&format!(
            "\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={password}\n"
        ));
    }
    text + &internet(address)
}

/// Writes the profile of the cable.
pub(crate) fn wired(address: &StaticAddress) -> String {
    let head = "[connection]\nid=Wired\ntype=ethernet\nautoconnect-priority=10\n";
    head.to_owned() + &internet(Some(address))
}

fn internet(address: Option<&StaticAddress>) -> String {
    let Some(it) = address else {
        return "\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n".into();
    };
    let mut text = format!(
        "\n[ipv4]\nmethod=manual\naddress1={}/{}",
        it.address, it.prefix
    );
    if let Some(gateway) = it.gateway {
        text.push_str(&format!(",{gateway}"));
    }
    text.push('\n');
    if !it.name_servers.is_empty() {
        let servers = list(&it.name_servers);
        text.push_str(&format!("dns={servers}\n"));
    }
    text + "\n[ipv6]\nmethod=auto\n"
}

/// Writes a list.
fn list(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::new();
    for item in items {
        text.push_str(&format!("{item};"));
    }
    text
}

/// Escapes a value (key files of `GLib`): backslashes, and spaces at the beginning.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    let inner = text.trim_start_matches(' ');
    "\\s".repeat(text.len() - inner.len()) + inner
}
