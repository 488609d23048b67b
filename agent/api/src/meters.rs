//! What is measured on the way of pictures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_sys::watched::monotonic;
use agent_video::meter::Meter;

use crate::app::lock;
use crate::streams::Streams;

/// The meters.
#[derive(Debug, Default)]
pub struct Meters {
    /// Capture to encoded.
    pub encoding: Mutex<Meter>,
    /// Capture to handed to a viewer's connection.
    pub sending: Mutex<Meter>,
    /// The same for each viewer.
    pub streams: Arc<Streams>,
}

impl Meters {
    /// Notes that a picture is handed to a connection.
    pub fn sent(&self, captured: Duration, encoded: Duration) {
        lock(&self.encoding).add(encoded.saturating_sub(captured));
        lock(&self.sending).add(monotonic().saturating_sub(captured));
    }
}
