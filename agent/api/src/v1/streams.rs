//! Moving pictures: JPEG after JPEG, H.264 over a WebSocket, H.264 by WebRTC.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_https::{HangUp, Local};
use agent_video::Unit;
use agent_video::hub::Watcher;
use agent_video::units::UnitWatcher;
use agent_webrtc::BadOffer;
use axum::body::{Body as Bytes, Bytes as Chunk};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::streams::{Stream, Transport, ticks};

/// Between the parts of a stream (RFC 2046, §5.1.1).
const BOUNDARY: &str = "bakelite-picture";
/// A viewer that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Port of HTTPS where an address names none.
const HTTPS: u16 = 443;
/// Type of a NAL unit that holds a sequence parameter set (H.264, table 7-1).
const SPS: u8 = 7;

/// What a browser offers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Offer {
    /// Its session description (SDP): one video that it receives.
    sdp: String,
}

/// What this device answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Its session description (SDP).
    sdp: String,
    /// Number of the stream.
    stream: u64,
}

impl From<BadOffer> for Failure {
    fn from(error: BadOffer) -> Self {
        let code = match &error {
            BadOffer::NoOffer(_) => Code::BadRequest,
            BadOffer::Full => Code::Conflict,
        };
        Self::new(code, error.to_string())
    }
}

/// Streams pictures as browsers show them in an image: one JPEG after the other.
pub async fn mjpeg(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(hang_up): Extension<HangUp>,
) -> Response {
    let stream = app.meters.streams.begin(&principal, Transport::Mjpeg);
    let watcher = app.parts.video.watch();
    let body = Bytes::from_stream(parts(app, watcher, stream));
    tokio::spawn(end_with(principal, hang_up));
    let content_type = format!("multipart/x-mixed-replace;boundary={BOUNDARY}");
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Ends a connection when its session ends, even if the peer reads nothing.
async fn end_with(principal: Principal, hang_up: HangUp) {
    tokio::select! {
        () = principal.ended() => hang_up.now(),
        // The last of the connection's own handles goes when it ends by itself.
        () = hang_up.ended() => {}
    }
}

fn parts(
    app: Arc<App>,
    watcher: Watcher,
    stream: Stream,
) -> impl stream::Stream<Item = Result<Chunk, Infallible>> + Send {
    let waiting: VecDeque<Chunk> = VecDeque::new();
    stream::unfold(
        (app, watcher, stream, waiting),
        async |(app, mut watcher, stream, mut waiting)| {
            if waiting.is_empty() {
                let picture = watcher.next().await?;
                app.meters.sent(picture.captured, picture.encoded);
                stream.sent(picture.captured);
                let head = format!(
                    "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\n\r\n",
                    picture.jpeg.len(),
                    picture.captured.as_secs(),
                    picture.captured.subsec_micros(),
                );
                waiting.extend([
                    Chunk::from(head),
                    picture.jpeg.clone(),
                    Chunk::from_static(b"\r\n"),
                ]);
            }
            let chunk = waiting.pop_front()?;
            Some((Ok(chunk), (app, watcher, stream, waiting)))
        },
    )
}

/// Streams H.264 over a WebSocket. A text message tells the format whenever it changes; binary ones
/// are access units: flags (bit 0: key frame), time of capture in ticks of 90 kHz (32 bits, big-endian),
/// then NAL units with start codes (H.264, Annex B).
pub async fn websocket(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let units = app.parts.video.watch_units();
        tokio::select! {
            () = principal.ended() => {}
            () = serve(&app, &principal, units, &mut socket) => {}
        }
    })
}

async fn serve(app: &App, principal: &Principal, mut units: UnitWatcher, socket: &mut WebSocket) {
    let stream = app.meters.streams.begin(principal, Transport::Websocket);
    let mut told = None;
    loop {
        let unit = tokio::select! {
            unit = units.next() => unit,
            // A viewer has nothing to say here; but its end must be seen.
            message = socket.recv() => match message {
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let Some(unit) = unit else {
            return;
        };
        let format = (unit.width, unit.height);
        if told != Some(format) && unit.is_key {
            told = Some(format);
            let text = json!({
                "type": "format",
                "stream": stream.id,
                "codec": codec(&unit.bytes),
                "width": unit.width,
                "height": unit.height,
            });
            if !send(socket, Message::Text(text.to_string().into())).await {
                return;
            }
        }
        let time = ticks(unit.captured).to_be_bytes();
        let message = [&[u8::from(unit.is_key)], &time[..], &unit.bytes].concat();
        if !send(socket, Message::Binary(message.into())).await {
            return;
        }
        app.meters.sent(unit.captured, unit.encoded);
        stream.sent(unit.captured);
    }
}

/// Sends a message, or says that the viewer is gone.
pub(crate) async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

/// Returns the name of the codec (RFC 6381, §3.3): profile, constraints and level stand behind the
/// type of the sequence parameter set.
fn codec(unit: &[u8]) -> String {
    let mut name = "avc1.".to_owned();
    let begins = |window: &&[u8]| window[..3] == [0, 0, 1] && window[3] & 31 == SPS;
    let found = unit.windows(7).find(begins);
    for byte in found.map_or(&[0x42, 0xe0, 0x1f][..], |window| &window[4..]) {
        // Writing to memory does not fail.
        let _written = write!(name, "{byte:02x}");
    }
    name
}

/// Answers a browser's offer of WebRTC. The stream begins when the browser connects, and ends with the
/// session.
pub async fn webrtc(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(local): Extension<Local>,
    headers: HeaderMap,
    Body(offer): Body<Offer>,
) -> Result<Json<Answer>, Failure> {
    let Some(exchange) = &app.parts.webrtc else {
        let text = "this device could not open its UDP port: see its log";
        return Err(Failure::new(Code::Conflict, text));
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let announced = reached_at(host.unwrap_or_default(), local.0);
    let units = app.parts.video.watch_units();
    let (sdp, viewer) = exchange.answer(&offer.sdp, announced, units)?;
    let stream = app.meters.streams.begin(&principal, Transport::Webrtc);
    let id = stream.id;
    let meters = Arc::clone(&app);
    let sent = move |unit: &Unit| {
        meters.meters.sent(unit.captured, unit.encoded);
        stream.sent(unit.captured);
    };
    tokio::spawn(async move {
        tokio::select! {
            () = principal.ended() => {}
            () = viewer.run(sent) => {}
        }
    });
    Ok(Json(Answer { sdp, stream: id }))
}

/// Returns the address at which a browser reaches this device: that which it used, if it used one, or
/// else that on which its request came. A browser behind a port that is forwarded used the former.
fn reached_at(host: &str, local: SocketAddr) -> SocketAddr {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, HTTPS),
        Err(_) => SocketAddr::new(local.ip().to_canonical(), local.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_which_the_browser_used() {
        let local = "[::ffff:10.0.2.15]:443".parse().unwrap();
        for (host, expected) in [
            ("127.0.0.1:18443", "127.0.0.1:18443"),
            ("192.0.2.7", "192.0.2.7:443"),
            ("[2001:db8::1]", "[2001:db8::1]:443"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("kvm.local", "10.0.2.15:443"),
            ("", "10.0.2.15:443"),
        ] {
            assert_eq!(reached_at(host, local).to_string(), expected, "{host}");
        }
    }

    #[test]
    fn the_codec_is_named_as_the_parameter_set_says() {
        assert_eq!(
            codec(&[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x28, 9]),
            "avc1.42c028"
        );
        assert_eq!(codec(&[0, 0, 0, 1, 0x65, 1, 2, 3, 4]), "avc1.42e01f");
    }
}
