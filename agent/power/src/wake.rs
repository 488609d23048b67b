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

/// Sends the packet to everybody on the local network.
pub async fn wake(address: MacAddress) -> io::Result<()> {
    send(address, SocketAddr::from((Ipv4Addr::BROADCAST, PORT))).await
}

async fn send(address: MacAddress, to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
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
        send(address, card.local_addr().unwrap()).await.unwrap();
        let mut received = [0; 200];
        let (length, _) = card.recv_from(&mut received).await.unwrap();
        assert_eq!(length, 102);
        assert_eq!(received[..6], [0xff; 6]);
        for place in received[6..102].chunks_exact(6) {
            assert_eq!(place, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        }
    }
}
