//! What an owner wants of an interface, checked before anything is changed.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::wi_fi::{BadJoin, Join};

/// The longest name of an interface (`IFNAMSIZ` of linux/if.h, less its end).
const NAME: usize = 15;
/// Most name servers (`MAXNS` of resolv.h).
const SERVERS: usize = 3;

/// How an interface gets its IPv4 address, or which network its radio joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Plan {
    /// From the network's own server (DHCP).
    Automatic {},
    /// As given.
    Manual {
        /// Address of this device.
        address: Ipv4Addr,
        /// Bits of the network's part.
        prefix: u8,
        /// Address of the router.
        gateway: Option<Ipv4Addr>,
        /// Addresses of name servers.
        #[serde(default)]
        servers: Vec<Ipv4Addr>,
    },
    /// Joins a Wi-Fi network, which gives the address.
    WiFi(Join),
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// The prefix has no room.
    #[error("/{0} is no prefix of a network with several devices: it is 1 to 30, such as 24")]
    Prefix(u8),
    /// Not an address for a device.
    #[error("{0} is no address that a device can have")]
    Address(Ipv4Addr),
    /// The first or the last address of a network.
    #[error("{0} is the {1} of its network, not an address of a device")]
    Reserved(Ipv4Addr, &'static str),
    /// The router cannot be reached.
    #[error("the router {gateway} is not in the network {network}/{prefix} of {address}")]
    Gateway {
        /// Address of the router.
        gateway: Ipv4Addr,
        /// The network.
        network: Ipv4Addr,
        /// Its prefix.
        prefix: u8,
        /// Address of this device.
        address: Ipv4Addr,
    },
    /// Router and device have one address.
    #[error("the router cannot have this device's own address {0}")]
    OwnGateway(Ipv4Addr),
    /// Too many name servers.
    #[error("at most {SERVERS} name servers are asked")]
    Servers,
    /// No Wi-Fi network.
    #[error(transparent)]
    WiFi(#[from] BadJoin),
}

impl Plan {
    /// Checks that a device can be reached with it.
    pub fn check(&self) -> Result<(), BadPlan> {
        let (address, prefix, gateway, servers) = match self {
            Self::Automatic {} => return Ok(()),
            Self::WiFi(join) => return Ok(join.check()?),
            Self::Manual {
                address,
                prefix,
                gateway,
                servers,
            } => (address, prefix, gateway, servers),
        };
        if !(1..=30).contains(prefix) {
            return Err(BadPlan::Prefix(*prefix));
        }
        check_host(*address, *prefix)?;
        if let Some(gateway) = gateway {
            check_host(*gateway, *prefix)?;
            if gateway == address {
                return Err(BadPlan::OwnGateway(*address));
            }
            if network(*gateway, *prefix) != network(*address, *prefix) {
                return Err(BadPlan::Gateway {
                    gateway: *gateway,
                    network: network(*address, *prefix),
                    prefix: *prefix,
                    address: *address,
                });
            }
        }
        if servers.len() > SERVERS {
            return Err(BadPlan::Servers);
        }
        let is_server = |server: &&Ipv4Addr| is_unicast(**server);
        match servers.iter().find(|server| !is_server(server)) {
            Some(server) => Err(BadPlan::Address(*server)),
            None => Ok(()),
        }
    }

    /// Returns the address that it gives, if it gives one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Automatic {} | Self::WiFi(_) => None,
            Self::Manual { address, .. } => Some(*address),
        }
    }

    /// Returns what may be written down and shown: all but a password.
    #[must_use]
    pub fn without_password(&self) -> Self {
        match self {
            Self::WiFi(join) => Self::WiFi(Join {
                password: None,
                ..join.clone()
            }),
            Self::Automatic {} | Self::Manual { .. } => self.clone(),
        }
    }
}

/// Whether this may be the name of an interface, as the kernel has it (`dev_valid_name`).
pub fn is_interface(name: &str) -> bool {
    let is_good = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..=NAME).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(is_good)
}

fn check_host(address: Ipv4Addr, prefix: u8) -> Result<(), BadPlan> {
    if !is_unicast(address) || address.is_loopback() {
        return Err(BadPlan::Address(address));
    }
    let first = network(address, prefix);
    if address == first {
        return Err(BadPlan::Reserved(address, "first address"));
    }
    if u32::from(address) == u32::from(first) | (u32::MAX >> prefix) {
        return Err(BadPlan::Reserved(address, "broadcast address"));
    }
    Ok(())
}

/// 0.0.0.0/8 means “this network”, 224.0.0.0/4 is multicast, 240.0.0.0/4 is reserved (RFC 6890).
fn is_unicast(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0])
}

fn network(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    (u32::from(address) & mask).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manual(address: &str, prefix: u8, gateway: &str) -> Plan {
        Plan::Manual {
            address: address.parse().unwrap(),
            prefix,
            gateway: gateway.parse().ok(),
            servers: Vec::new(),
        }
    }

    #[test]
    fn a_plan_that_cannot_be_reached_is_refused_with_its_reason() {
        for (address, prefix, gateway, reason) in [
            ("192.168.1.5", 24, "192.168.1.1", ""),
            ("10.0.0.2", 30, "", ""),
            (
                "192.168.1.5",
                24,
                "192.168.2.1",
                "is not in the network 192.168.1.0/24",
            ),
            ("192.168.1.0", 24, "", "first address"),
            ("192.168.1.255", 24, "", "broadcast"),
            ("192.168.1.5", 24, "192.168.1.5", "own address"),
            ("192.168.1.5", 31, "", "prefix"),
            ("192.168.1.5", 0, "", "prefix"),
            ("0.0.0.0", 8, "", "no address"),
            ("127.0.0.1", 8, "", "no address"),
            ("224.0.0.1", 24, "", "no address"),
            ("255.255.255.255", 24, "", "no address"),
        ] {
            match manual(address, prefix, gateway).check() {
                Ok(()) => assert_eq!(reason, "", "{address}/{prefix}"),
                Err(error) => assert!(
                    !reason.is_empty() && error.to_string().contains(reason),
                    "{address}/{prefix}: {error}"
                ),
            }
        }
    }

    #[test]
    fn names_of_interfaces_are_those_of_the_kernel() {
        assert!(is_interface("eth0") && is_interface("enp1s0.100"));
        for bad in ["", "..", "a/b", "a b", "eth0:1", "much-too-long-name"] {
            assert!(!is_interface(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_plan_is_judged(address: u32, prefix: u8, gateway: Option<u32>, server: u32) {
            let plan = Plan::Manual {
                address: address.into(), prefix,
                gateway: gateway.map(Into::into), servers: vec![server.into()],
            };
            let _judged = plan.check();
        }
    }
}
