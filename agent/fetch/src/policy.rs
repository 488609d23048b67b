//! Which addresses may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses may be reached.
pub type Policy = fn(IpAddr) -> bool;

/// Whether anything may be fetched from there: not from this device, not from its link, not from what is
/// no address of a host (RFC 6890). Addresses within another (RFC 4291, §2.5.5; RFC 6052; RFC 3056) are
/// judged as that.
pub fn is_allowed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_allowed_v4(ip),
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let inner =
                |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            let embedded = match segments {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low]
                | [0, 0, 0, 0, 0, 0, high, low]
                | [0x2002, high, low, ..] => Some(inner(high, low)),
                _ => None,
            };
            embedded.is_none_or(is_allowed_v4)
                && !ip.is_loopback()
                && !ip.is_unspecified()
                && !ip.is_multicast()
                && !is_link_local(ip)
        }
    }
}

fn is_allowed_v4(ip: Ipv4Addr) -> bool {
    let first = ip.octets()[0];
    (1..224).contains(&first) && !ip.is_loopback() && !ip.is_link_local()
}

/// Whether this is in `fe80::/10` (RFC 4291, §2.5.6).
fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}
