//! The streams that run, and how long pictures take on each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_access::{Principal, SessionId};
use agent_sys::watched::monotonic;
use agent_video::meter::{Meter, Percentiles};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::lock;

/// A picture that is shown later than this was told wrongly.
const LONGEST: Duration = Duration::from_mins(1);
/// Ticks a second of the clock that pictures carry (RFC 6184, §8.2.1).
const TICKS: u64 = 90_000;

/// How pictures go to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// JPEG pictures in one HTTP answer.
    Mjpeg,
    /// H.264 in messages of a WebSocket.
    Websocket,
    /// H.264 by WebRTC.
    Webrtc,
}

/// A stream as it is listed. Times are in microseconds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StreamEntry {
    /// Its number.
    id: u64,
    /// Who watches.
    user: String,
    /// How.
    transport: Transport,
    /// Pictures that were sent.
    pictures: u64,
    /// Capture to handed to the connection.
    #[schemars(with = "Option<BTreeMap<String, u64>>")]
    sending: Option<Percentiles>,
    /// Capture to shown, as the page tells; with the way of its message back.
    #[schemars(with = "Option<BTreeMap<String, u64>>")]
    shown: Option<Percentiles>,
}

/// All streams.
#[derive(Debug, Default)]
pub struct Streams {
    running: Mutex<BTreeMap<u64, Running>>,
    last: AtomicU64,
}

#[derive(Debug)]
struct Running {
    session: SessionId,
    user: String,
    transport: Transport,
    pictures: u64,
    sending: Meter,
    shown: Meter,
}

/// One stream. It is listed for as long as this lives.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    /// Its number.
    pub id: u64,
}

impl Streams {
    /// Notes that a stream begins.
    pub fn begin(self: &Arc<Self>, principal: &Principal, transport: Transport) -> Stream {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let running = Running {
            session: principal.session.clone(),
            user: principal.user.to_string(),
            transport,
            pictures: 0,
            sending: Meter::default(),
            shown: Meter::default(),
        };
        lock(&self.running).insert(id, running);
        let streams = Arc::clone(self);
        Stream { streams, id }
    }

    /// Notes that a picture was shown. Only who watches may say so.
    pub fn shown(&self, principal: &Principal, id: u64, captured: u32) {
        let mut running = lock(&self.running);
        let Some(stream) = running.get_mut(&id) else {
            return;
        };
        let since = ticks(monotonic()).wrapping_sub(captured);
        let since = Duration::from_micros(u64::from(since) * 1_000_000 / TICKS);
        if stream.session == principal.session && since < LONGEST {
            stream.shown.add(since);
        }
    }

    /// Lists them.
    pub fn list(&self) -> Vec<StreamEntry> {
        let running = lock(&self.running);
        let entry = |(id, stream): (&u64, &Running)| StreamEntry {
            id: *id,
            user: stream.user.clone(),
            transport: stream.transport,
            pictures: stream.pictures,
            sending: stream.sending.percentiles(),
            shown: stream.shown.percentiles(),
        };
        running.iter().map(entry).collect()
    }
}

impl StreamEntry {
    /// Returns what tells it from others, as labels of a measurement. Names of users are letters, digits
    /// and dashes.
    pub fn labels(&self) -> String {
        let transport = match self.transport {
            Transport::Mjpeg => "mjpeg",
            Transport::Websocket => "websocket",
            Transport::Webrtc => "webrtc",
        };
        let (id, user) = (self.id, &self.user);
        format!("stream=\"{id}\",user=\"{user}\",transport=\"{transport}\"")
    }

    /// Returns the quantiles of `sent` or `shown` in microseconds; none before the first picture.
    pub fn quantiles(&self, leg: &str) -> Vec<(&'static str, u64)> {
        let percentiles = if leg == "shown" {
            self.shown
        } else {
            self.sending
        };
        percentiles.map_or_else(Vec::new, |both| vec![("0.5", both.p50), ("0.95", both.p95)])
    }
}

impl Stream {
    /// Notes that a picture is handed to the connection.
    pub fn sent(&self, captured: Duration) {
        if let Some(stream) = lock(&self.streams.running).get_mut(&self.id) {
            stream.pictures += 1;
            stream.sending.add(monotonic().saturating_sub(captured));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.streams.running).remove(&self.id);
    }
}

/// Returns a time as ticks of the clock that pictures carry: the lower 32 bits, as in RTP.
pub fn ticks(time: Duration) -> u32 {
    let ticks = time.as_micros() * u128::from(TICKS) / 1_000_000;
    u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_rtp() {
        assert_eq!(ticks(Duration::from_secs(1)), 90_000);
        let round = Duration::from_micros((1_u64 << 32) * 100 / 9);
        assert!(ticks(round + Duration::from_millis(1)) < 100);
    }
}
