//! An address that the device keeps.

use std::net::Ipv4Addr;

/// An address, and how others are reached from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of it that are its network's.
    pub prefix: u8,
    /// Who leads to other networks.
    pub gateway: Option<Ipv4Addr>,
    /// Who knows names.
    pub name_servers: Vec<Ipv4Addr>,
}

/// The address is none that a device can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is not of the form.
    #[error("“{0}” is no address with its network, such as 192.168.1.20/24")]
    Form(String),
    /// No device has it.
    #[error("no device can have the address {0}")]
    Unusable(Ipv4Addr),
    /// The gateway is elsewhere.
    #[error("the gateway {gateway} is not in the network of {address}/{prefix}")]
    Gateway {
        /// The gateway.
        gateway: Ipv4Addr,
        /// The address.
        address: Ipv4Addr,
        /// Its network's bits.
        prefix: u8,
    },
}

impl StaticAddress {
    /// Checks an address of the form `192.168.1.20/24` and a gateway.
    pub fn new(
        text: &str,
        gateway: Option<Ipv4Addr>,
        name_servers: Vec<Ipv4Addr>,
    ) -> Result<Self, BadAddress> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(address, prefix)| {
            let prefix = prefix.parse().ok().filter(|bits| (1..=30).contains(bits))?;
            Some((address.parse::<Ipv4Addr>().ok()?, prefix))
        });
        let (address, prefix) = parts.ok_or_else(|| BadAddress::Form(text.into()))?;
        let mask = u32::MAX << (32 - u32::from(prefix));
        let host = address.to_bits() & !mask;
        let is_special = address.is_loopback()
            || address.is_multicast()
            || address.is_unspecified()
            || address.is_broadcast()
            || host == 0
            || host == !mask;
        if is_special {
            return Err(BadAddress::Unusable(address));
        }
        let is_outside = |gateway: &Ipv4Addr| {
            gateway.to_bits() & mask != address.to_bits() & mask || *gateway == address
        };
        if let Some(gateway) = gateway.filter(is_outside) {
            return Err(BadAddress::Gateway {
                gateway,
                address,
                prefix,
            });
        }
        Ok(Self {
            address,
            prefix,
            gateway,
            name_servers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_device_can_have() {
        let at = |text: &str| StaticAddress::new(text, None, Vec::new());
        let good = at("192.168.1.20/24").unwrap();
        assert_eq!((good.prefix, good.address.octets()[3]), (24, 20));
        for bad in [
            "192.168.1.20",
            "192.168.1.20/33",
            "192.168.1.20/31",
            "x/24",
            "192.168.1/24",
        ] {
            assert!(matches!(at(bad), Err(BadAddress::Form(_))), "{bad}");
        }
        for bad in [
            "192.168.1.0/24",
            "192.168.1.255/24",
            "127.0.0.1/8",
            "224.0.0.5/24",
        ] {
            assert!(matches!(at(bad), Err(BadAddress::Unusable(_))), "{bad}");
        }
        for gateway in ["192.168.2.1", "192.168.1.20"] {
            let gateway = Some(gateway.parse().unwrap());
            let error = StaticAddress::new("192.168.1.20/24", gateway, Vec::new());
            assert!(matches!(error, Err(BadAddress::Gateway { .. })));
        }
        let gateway = Some("192.168.1.1".parse().unwrap());
        assert!(StaticAddress::new("192.168.1.20/24", gateway, Vec::new()).is_ok());
    }
}
