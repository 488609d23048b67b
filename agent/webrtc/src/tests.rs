//! Another WebRTC end on this machine sees the pictures, by UDP and by TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_video::Unit;
use agent_video::hub::Hub;

use str0m::change::SdpAnswer;
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::{Exchange, framing};

/// A key frame that no decoder looks at: parameter sets and a slice too long for one packet.
fn unit(number: u64) -> Unit {
    let mut bytes = vec![
        0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 4, 5, 0, 0, 0, 1, 0x65,
    ];
    bytes.extend([7; 4000]);
    Unit {
        bytes: bytes.into(),
        is_key: true,
        width: 64,
        height: 64,
        number,
        captured: Duration::from_millis(number * 33),
        encoded: Duration::from_millis(number * 33),
    }
}

enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Line {
    async fn send(&mut self, packet: &[u8], to: SocketAddr) {
        match self {
            Self::Udp(socket) => drop(socket.send_to(packet, to).await),
            Self::Tcp(stream) => framing::write(stream, packet).await.unwrap(),
        }
    }

    async fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Udp(socket) => {
                let mut packet = vec![0; 2048];
                let length = socket.recv(&mut packet).await.unwrap();
                packet[..length].to_vec()
            }
            Self::Tcp(stream) => framing::read(stream).await.unwrap(),
        }
    }
}

/// Plays the browser until so many pictures came, and returns them.
async fn watch(protocol: Protocol) -> Vec<Vec<u8>> {
    let exchange = Exchange::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (device, mut line, own) = if protocol == Protocol::Udp {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let own = socket.local_addr().unwrap();
        (exchange.address().unwrap(), Line::Udp(socket), own)
    } else {
        let device = listener.local_addr().unwrap();
        let stream = TcpStream::connect(device).await.unwrap();
        let own = stream.local_addr().unwrap();
        (device, Line::Tcp(stream), own)
    };
    let serving = Arc::clone(&exchange);
    tokio::spawn(async move { serving.serve().await });
    let serving = Arc::clone(&exchange);
    tokio::spawn(async move {
        let (stream, from) = listener.accept().await.unwrap();
        serving.serve_stream(stream, from).await;
    });

    let mut rtc: Rtc = RtcConfig::new()
        .set_crypto_provider(Arc::new(from_feature_flags()))
        .clear_codecs()
        .enable_h264(true)
        .build(Instant::now());
    let candidate = if protocol == Protocol::Udp {
        Candidate::builder().udp().host(own).build()
    } else {
        let tcp = Candidate::builder().tcp().host(own);
        tcp.tcptype(TcpType::Active).build()
    };
    rtc.add_local_candidate(candidate.unwrap());
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().unwrap();

    let hub = Arc::new(Hub::default());
    let (answer, viewer) = exchange
        .answer(&offer.to_sdp_string(), device, hub.watch_units())
        .unwrap();
    assert!(answer.contains("a=ice-lite"), "{answer}");
    tokio::spawn(viewer.run(|_| {}));
    let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
    rtc.sdp_api().accept_answer(pending, answer).unwrap();

    let (mut pictures, mut number) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while pictures.len() < 5 {
        let deadline = match rtc.poll_output().unwrap() {
            Output::Timeout(deadline) => deadline,
            Output::Transmit(packet) => {
                if packet.proto == protocol {
                    line.send(&packet.contents, packet.destination).await;
                }
                continue;
            }
            Output::Event(Event::MediaData(data)) => {
                pictures.push(data.data.to_vec());
                continue;
            }
            Output::Event(_) => continue,
        };
        tokio::select! {
            packet = line.take() => {
                let receive = Receive {
                    proto: protocol,
                    source: device,
                    destination: own,
                    contents: packet.as_slice().try_into().unwrap(),
                };
                rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
            }
            _ = ticks.tick() => {
                number += 1;
                hub.publish_unit(unit(number));
                rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
            }
        }
    }
    pictures
}

#[tokio::test]
async fn pictures_arrive_whole_by_udp() {
    let pictures = watch(Protocol::Udp).await;
    assert!(
        pictures.iter().all(|picture| *picture == unit(0).bytes),
        "{pictures:?}"
    );
}

#[tokio::test]
async fn pictures_arrive_whole_by_tcp() {
    let pictures = watch(Protocol::Tcp).await;
    assert!(
        pictures.iter().all(|picture| *picture == unit(0).bytes),
        "{pictures:?}"
    );
}

#[tokio::test]
async fn what_is_no_offer_is_refused() {
    let exchange = Exchange::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let hub = Arc::new(Hub::default());
    for bad in ["", "v=0", &"x".repeat(100_000)] {
        let answer = exchange.answer(bad, "127.0.0.1:1".parse().unwrap(), hub.watch_units());
        assert!(answer.is_err(), "{bad}");
    }
}
