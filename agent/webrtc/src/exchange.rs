//! Brings packets to their viewers, and viewers' packets to the network.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_video::units::UnitWatcher;
use str0m::net::Protocol;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::framing;
use crate::stun;
use crate::viewer::{BadOffer, Viewer};

/// Most viewers at once.
const VIEWERS: usize = 16;
/// Packets that wait for a viewer; those that come then are lost, as on any network.
const INBOX: usize = 64;
/// Packets that wait for a TCP connection.
const OUTBOX: usize = 512;
/// Most addresses that are remembered.
const ROUTES: usize = 256;
/// Who connects by TCP says so in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A packet that came.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) protocol: Protocol,
    pub(crate) from: SocketAddr,
    pub(crate) packet: Vec<u8>,
}

/// Where packets are exchanged.
#[derive(Debug)]
pub struct Exchange {
    udp: UdpSocket,
    desk: Mutex<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    /// By the name that this end gave them (`ice-ufrag`).
    viewers: BTreeMap<String, mpsc::Sender<Arrived>>,
    /// By the address that they send from.
    routes: BTreeMap<SocketAddr, String>,
    /// Open TCP connections by the other end's address.
    streams: BTreeMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
}

/// Keeps a viewer's name while it lives.
#[derive(Debug)]
pub(crate) struct Place {
    exchange: Arc<Exchange>,
    name: String,
}

impl Exchange {
    /// Binds the UDP socket.
    pub async fn bind(address: SocketAddr) -> io::Result<Arc<Self>> {
        let udp = UdpSocket::bind(address).await?;
        let desk = Mutex::default();
        Ok(Arc::new(Self { udp, desk }))
    }

    /// Returns the address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Answers an offer. The viewer is served while [`Viewer::run`] runs. `announced` is the address at
    /// which the browser reaches this device.
    pub fn answer(
        self: &Arc<Self>,
        offer: &str,
        announced: SocketAddr,
        units: UnitWatcher,
    ) -> Result<(String, Viewer), BadOffer> {
        Viewer::answer(self, offer, announced, units)
    }

    /// Takes packets by UDP until the future is dropped.
    pub async fn serve(&self) {
        let mut packet = vec![0; framing::LONGEST];
        loop {
            match self.udp.recv_from(&mut packet).await {
                Ok((length, from)) => {
                    let from = canonical(from);
                    self.deliver(Protocol::Udp, from, packet[..length].to_vec());
                }
                // The kernel tells of packets that could not be delivered; that is the viewer's matter.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Takes packets of a TCP connection until it ends.
    pub async fn serve_stream(&self, stream: TcpStream, from: SocketAddr) {
        let from = canonical(from);
        let (mut reader, mut writer) = stream.into_split();
        // Who is not known by the first packet has no business here.
        let Ok(Some(first)) = timeout(PATIENCE, framing::read(&mut reader)).await else {
            return;
        };
        let (outbox, mut waiting) = mpsc::channel::<Vec<u8>>(OUTBOX);
        self.desk().streams.insert(from, outbox);
        if self.deliver(Protocol::Tcp, from, first) {
            let reading = async {
                while let Some(packet) = framing::read(&mut reader).await {
                    if !self.deliver(Protocol::Tcp, from, packet) {
                        return;
                    }
                }
            };
            let writing = async {
                while let Some(packet) = waiting.recv().await {
                    if framing::write(&mut writer, &packet).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = reading => {}
                () = writing => {}
            }
        }
        let mut desk = self.desk();
        desk.streams.remove(&from);
        desk.routes.remove(&from);
    }

    /// Gives a packet to its viewer. Returns whether there is one.
    fn deliver(&self, protocol: Protocol, from: SocketAddr, packet: Vec<u8>) -> bool {
        let mut desk = self.desk();
        if let Some(name) = stun::receiver(&packet).filter(|name| desk.viewers.contains_key(*name))
        {
            if desk.routes.len() >= ROUTES {
                desk.routes.clear();
            }
            let name = name.to_owned();
            desk.routes.insert(from, name);
        }
        let viewer = desk.routes.get(&from).and_then(|n| desk.viewers.get(n));
        let arrived = Arrived {
            protocol,
            from,
            packet,
        };
        viewer.is_some_and(|viewer| match viewer.try_send(arrived) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        })
    }

    /// Sends a packet, or loses it: the network does so too.
    pub(crate) fn send(&self, protocol: Protocol, to: SocketAddr, packet: Vec<u8>) {
        if protocol == Protocol::Udp {
            let to = self.for_socket(to);
            let _sent = self.udp.try_send_to(&packet, to);
        } else if let Some(stream) = self.desk().streams.get(&to) {
            let _sent = stream.try_send(packet);
        }
    }

    /// An IPv6 socket reaches IPv4 addresses by their mapped form (RFC 4291, §2.5.5.2).
    fn for_socket(&self, to: SocketAddr) -> SocketAddr {
        let is_v6 = self.udp.local_addr().is_ok_and(|own| own.is_ipv6());
        match to.ip() {
            IpAddr::V4(ip) if is_v6 => (ip.to_ipv6_mapped(), to.port()).into(),
            _ => to,
        }
    }

    /// Takes a place for a viewer.
    pub(crate) fn enter(self: &Arc<Self>, name: &str) -> Option<(Place, mpsc::Receiver<Arrived>)> {
        let mut desk = self.desk();
        if desk.viewers.len() >= VIEWERS {
            return None;
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        desk.viewers.insert(name.to_owned(), sender);
        let place = Place {
            exchange: Arc::clone(self),
            name: name.to_owned(),
        };
        Some((place, inbox))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = self.exchange.desk();
        desk.viewers.remove(&self.name);
        let mut gone = Vec::new();
        desk.routes.retain(|from, name| {
            let stays = *name != self.name;
            if !stays {
                gone.push(*from);
            }
            stays
        });
        // Without its sender a connection ends.
        for from in gone {
            desk.streams.remove(&from);
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
