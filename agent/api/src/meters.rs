//! What is measured on the way of pictures.

use std::sync::Mutex;

use agent_sys::watched::monotonic;
use agent_video::Picture;
use agent_video::meter::Meter;

use crate::app::lock;

/// The meters.
#[derive(Debug, Default)]
pub struct Meters {
    /// Capture to encoded.
    pub encoding: Mutex<Meter>,
    /// Capture to handed to a viewer's connection.
    pub sending: Mutex<Meter>,
}

impl Meters {
    /// Notes that a picture is handed to a connection.
    pub fn sent(&self, picture: &Picture) {
        let encoding = picture.encoded.saturating_sub(picture.captured);
        lock(&self.encoding).add(encoding);
        lock(&self.sending).add(monotonic().saturating_sub(picture.captured));
    }
}
