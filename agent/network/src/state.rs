//! How the network is, as people are told.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::wi_fi::WiFiName;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkState {
    /// Interfaces with a cable or an antenna.
    pub interfaces: Vec<Interface>,
    /// A change that waits for somebody at the new address.
    pub pending: Option<Pending>,
    /// How the last change ended.
    pub outcome: Option<String>,
    /// Whether a change is being tried right now; what is said of the rest is from before.
    #[serde(default)]
    pub is_trying: bool,
}

impl NetworkState {
    /// Whether a request that came to this address shows that the change on trial works.
    pub fn is_shown_by(&self, address: IpAddr) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        let is_it = |interface: &&Interface| interface.name == pending.interface;
        let interface = self.interfaces.iter().find(is_it);
        if let Plan::WiFi(join) = &pending.plan {
            // A radio is in one network at a time: whoever comes while it is in the new one did not come by
            // the old one.
            return interface.is_some_and(|it| it.wi_fi.as_ref() == Some(&join.name));
        }
        let addresses = interface.map_or(&[][..], |interface| &interface.addresses);
        let new = || {
            addresses
                .iter()
                .filter(|entry| !pending.old.contains(entry))
        };
        let is_here = |entry: &String| {
            let (ip, _) = entry.split_once('/').unwrap_or((entry, ""));
            ip.parse() == Ok(address.to_canonical())
        };
        // Where the address stays and only router or servers change, any way in will do.
        new().next().is_none() || new().any(is_here)
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `ethernet` or `wi-fi`.
    pub kind: String,
    /// Address of the network card.
    pub card: String,
    /// Whether it is connected.
    pub is_connected: bool,
    /// Name of the Wi-Fi network that it is in.
    pub wi_fi: Option<WiFiName>,
    /// `automatic` or `manual`.
    pub method: String,
    /// Its IPv4 addresses with their prefixes.
    pub addresses: Vec<String>,
    /// The router.
    pub gateway: Option<String>,
    /// Name servers.
    pub servers: Vec<String>,
}

/// A change on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pending {
    /// The interface.
    pub interface: String,
    /// What is tried.
    pub plan: Plan,
    /// Addresses from before, with their prefixes.
    pub old: Vec<String>,
    /// Seconds until it is taken back.
    pub seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(addresses: &[&str], old: &[&str]) -> NetworkState {
        let strings = |given: &[&str]| given.iter().map(ToString::to_string).collect::<Vec<_>>();
        NetworkState {
            interfaces: vec![Interface {
                name: "eth0".into(),
                kind: "ethernet".into(),
                card: String::new(),
                is_connected: true,
                wi_fi: None,
                method: "automatic".into(),
                addresses: strings(addresses),
                gateway: None,
                servers: Vec::new(),
            }],
            pending: Some(Pending {
                interface: "eth0".into(),
                plan: Plan::Automatic {},
                old: strings(old),
                seconds: 60,
            }),
            outcome: None,
            is_trying: false,
        }
    }

    #[test]
    fn only_a_request_to_the_new_address_shows_that_it_works() {
        let (old, new) = (
            "192.0.2.7".parse().unwrap(),
            "::ffff:192.0.2.9".parse().unwrap(),
        );
        let both = state(&["192.0.2.7/24", "192.0.2.9/24"], &["192.0.2.7/24"]);
        assert!(!both.is_shown_by(old));
        assert!(both.is_shown_by(new));
        let unchanged = state(&["192.0.2.7/24"], &["192.0.2.7/24"]);
        assert!(unchanged.is_shown_by(old));
        assert!(!NetworkState::default().is_shown_by(old));
    }
}
