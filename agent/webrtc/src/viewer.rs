//! One viewer: what the browser offered, and the pictures that go there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_video::Unit;
use agent_video::units::UnitWatcher;
use str0m::change::SdpOffer;
use str0m::crypto::from_feature_flags;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, Frequency, MediaTime, Mid};
use str0m::net::{Receive, TcpType};
use str0m::{
    Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig, RtcError,
};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::exchange::{Arrived, Exchange, Place};

/// A browser that is not connected in this time finds no way here.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest offer that is read. Browsers send a few kilobytes.
pub const LONGEST_OFFER: usize = 64 << 10;

/// The offer cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum BadOffer {
    /// It is not what a browser offers.
    #[error("this is no offer of a browser that wants to see H.264: {0}")]
    NoOffer(String),
    /// There are as many viewers as this device serves.
    #[error("as many browsers watch by WebRTC as this device serves")]
    Full,
}

/// A viewer that was answered.
#[derive(Debug)]
pub struct Viewer {
    rtc: Rtc,
    place: Place,
    inbox: mpsc::Receiver<Arrived>,
    units: UnitWatcher,
    /// The address that was named to the browser.
    announced: SocketAddr,
    since: Instant,
    is_connected: bool,
    mid: Option<Mid>,
}

impl Viewer {
    pub(crate) fn answer(
        exchange: &Arc<Exchange>,
        offer: &str,
        announced: SocketAddr,
        units: UnitWatcher,
    ) -> Result<(String, Self), BadOffer> {
        let bad = |error: &dyn std::fmt::Display| BadOffer::NoOffer(error.to_string());
        if offer.len() > LONGEST_OFFER {
            return Err(bad(&"it is too long"));
        }
        // This end waits for packets wherever they come from. The browser's own candidates are names
        // of its machine's addresses, which are no business of this device (RFC 8828).
        let lines = offer
            .lines()
            .filter(|line| !line.starts_with("a=candidate:"));
        let lines: Vec<String> = lines.map(|line| format!("{line}\r\n")).collect();
        let offer = SdpOffer::from_sdp_string(&lines.concat()).map_err(|error| bad(&error))?;
        let credentials = IceCreds::new();
        let name = credentials.ufrag.clone();
        let (place, inbox) = exchange.enter(&name).ok_or(BadOffer::Full)?;
        let since = Instant::now();
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .set_local_ice_credentials(credentials)
            .set_ice_lite(true)
            .clear_codecs()
            .enable_h264(true)
            // A key frame of a full screen is some hundreds of packets.
            .set_send_buffer_video(2000)
            .build(since);
        let udp = Candidate::builder().udp().host(announced).build();
        let tcp = Candidate::builder().tcp().host(announced);
        let tcp = tcp.tcptype(TcpType::Passive).build();
        for candidate in [udp, tcp] {
            let candidate = candidate.map_err(|error| bad(&error))?;
            rtc.add_local_candidate(candidate);
        }
        let answer = rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|error| bad(&error))?;
        let viewer = Self {
            rtc,
            place,
            inbox,
            units,
            announced,
            since,
            is_connected: false,
            mid: None,
        };
        Ok((answer.to_sdp_string(), viewer))
    }

    /// Serves the viewer until it is gone. `sent` is told of every picture that went out.
    pub async fn run(mut self, sent: impl Fn(&Unit) + Send) {
        // Whatever failed: the browser notices that nothing comes, and takes another way.
        let _outcome = self.serve(sent).await;
        self.rtc.disconnect();
    }

    async fn serve(&mut self, sent: impl Fn(&Unit) + Send) -> Result<(), RtcError> {
        while let Some(deadline) = self.drain()? {
            if !self.is_connected && self.since.elapsed() > CONNECT {
                return Ok(());
            }
            tokio::select! {
                arrived = self.inbox.recv() => {
                    let Some(arrived) = arrived else {
                        return Ok(());
                    };
                    self.take(&arrived)?;
                }
                unit = self.units.next(), if self.is_connected && self.mid.is_some() => {
                    let Some(unit) = unit else {
                        return Ok(());
                    };
                    self.write(&unit)?;
                    sent(&unit);
                }
                () = sleep_until(deadline.into()) => {
                    self.rtc.handle_input(Input::Timeout(Instant::now()))?;
                }
            }
        }
        Ok(())
    }

    /// Sends what waits. Returns when there is something to do again, or nothing at the end.
    fn drain(&mut self) -> Result<Option<Instant>, RtcError> {
        while self.rtc.is_alive() {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(Some(deadline)),
                Output::Transmit(packet) => {
                    let (protocol, to) = (packet.proto, packet.destination);
                    let exchange = self.place.exchange();
                    exchange.send(protocol, to, packet.contents.into());
                }
                Output::Event(Event::Connected) => {
                    self.is_connected = true;
                    self.units.want_key();
                }
                Output::Event(Event::MediaAdded(media)) => {
                    if matches!(media.direction, Direction::SendOnly | Direction::SendRecv) {
                        self.mid = Some(media.mid);
                    }
                }
                Output::Event(Event::KeyframeRequest(_)) => self.units.want_key(),
                Output::Event(Event::IceConnectionStateChange(
                    IceConnectionState::Disconnected,
                )) => return Ok(None),
                Output::Event(_) => {}
            }
        }
        Ok(None)
    }

    fn take(&mut self, arrived: &Arrived) -> Result<(), RtcError> {
        // What is no packet of these protocols is passed over.
        let Ok(contents) = arrived.packet.as_slice().try_into() else {
            return Ok(());
        };
        let receive = Receive {
            proto: arrived.protocol,
            source: arrived.from,
            destination: self.announced,
            contents,
        };
        let input = Input::Receive(Instant::now(), receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input)?;
        }
        Ok(())
    }

    fn write(&mut self, unit: &Unit) -> Result<(), RtcError> {
        let writer = self.mid.and_then(|mid| self.rtc.writer(mid));
        let Some(writer) = writer else {
            return Ok(());
        };
        // Of what the browser takes, that which cuts pictures into packets (RFC 6184, §6.3).
        let cuts = |payload: &&PayloadParams| {
            let spec = payload.spec();
            spec.codec == Codec::H264 && spec.format.packetization_mode == Some(1)
        };
        let payload = writer.payload_params().find(cuts).map(PayloadParams::pt);
        let Some(payload) = payload else {
            return Ok(());
        };
        let ticks = unit.captured.as_micros() * 9 / 100;
        let time = MediaTime::new(u64::try_from(ticks).unwrap_or(0), Frequency::NINETY_KHZ);
        writer.write(payload, Instant::now(), time, unit.bytes.to_vec())
    }
}
