//! Wake-on-LAN: a packet with the card's address sixteen times (AMD, Magic Packet Technology, 1995).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::address::MacAddress;

/// Port of the discard protocol, which the packet is customarily sent to.
const PORT: u16 = 9;

/// Returns the packet.
pub fn packet(address: MacAddress) -> [u8; 102] {
    let mut packet = [0xff; 102];
    for place in packet[6..].chunks_exact_mut(6) {
        place.copy_from_slice(&address.bytes());
    }
    packet
}

/// Sends the packet to everybody on each network that this device is in, as nobody says on which one the
/// machine is. Networks are given as this device's addresses with their prefixes, such as
/// `192.168.1.5/24`; where none is known, that of the default route is taken.
pub async fn wake(address: MacAddress, networks: &[String]) -> io::Result<()> {
    let anywhere = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let mut ways: Vec<_> = networks.iter().filter_map(|one| broadcast(one)).collect();
    if ways.is_empty() {
        ways.push(anywhere);
    }
    let mut outcome = Err(io::ErrorKind::NetworkUnreachable.into());
    for (own, everybody) in ways {
        let sent = send(address, own, SocketAddr::from((everybody, PORT))).await;
        // One network that took it is enough.
        outcome = outcome.or(sent);
    }
    outcome
}

/// Returns the device's address and that of everybody on its network (RFC 919).
fn broadcast(network: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, prefix) = network.split_once('/')?;
    let (address, prefix): (Ipv4Addr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
    // A network of one or two has no address for everybody (RFC 3021).
    let others = u32::MAX.checked_shr(prefix).filter(|_| prefix < 31)?;
    Some((address, Ipv4Addr::from(u32::from(address) | others)))
}

async fn send(address: MacAddress, own: Ipv4Addr, to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.set_broadcast(true)?;
    socket.send_to(&packet(address), to).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_packet_arrives_as_cards_expect_it() {
        let card = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address: MacAddress = "52:54:00:12:34:56".parse().unwrap();
        let to = card.local_addr().unwrap();
        send(address, Ipv4Addr::LOCALHOST, to).await.unwrap();
        let mut received = [0; 200];
        let (length, _) = card.recv_from(&mut received).await.unwrap();
        assert_eq!(length, 102);
        assert_eq!(received[..6], [0xff; 6]);
        for place in received[6..102].chunks_exact(6) {
            assert_eq!(place, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        }
    }

    #[test]
    fn everybody_on_a_network_has_its_last_address() {
        for (network, expected) in [
            ("192.168.1.5/24", Some("192.168.1.255")),
            ("10.1.2.3/9", Some("10.127.255.255")),
            ("10.1.2.3/30", Some("10.1.2.3")),
            ("10.1.2.3/31", None),
            ("10.1.2.3/40", None),
            ("fd00::1/64", None),
            ("10.1.2.3", None),
        ] {
            let found = broadcast(network).map(|(_, everybody)| everybody.to_string());
            assert_eq!(found.as_deref(), expected, "{network}");
        }
    }
}
