//! Types a plan, no faster than the host takes it.

use std::time::Duration;

use tokio::sync::watch;

use crate::held::Viewer;
use crate::input::Input;
use crate::layout::Stroke;

/// How long the host may take for one stroke before the paste is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a paste ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All was typed.
    Done,
    /// Somebody cancelled it.
    Cancelled,
    /// The host took nothing any more.
    HostGone,
}

/// A paste that others can watch and end.
#[derive(Debug)]
pub struct Paste {
    /// Becomes true to end it.
    pub cancel: watch::Receiver<bool>,
    /// Strokes typed so far.
    pub typed: watch::Sender<usize>,
    /// Pause after each stroke, for hosts that lose fast ones.
    pub pause: Duration,
}

impl Paste {
    /// Types the strokes as a viewer. Whatever happens, its keys are up at the end.
    pub async fn run(mut self, input: &Input, viewer: Viewer, strokes: &[Stroke]) -> Ended {
        let ended = self.type_all(input, viewer, strokes).await;
        input.release(viewer);
        ended
    }

    async fn type_all(&mut self, input: &Input, viewer: Viewer, strokes: &[Stroke]) -> Ended {
        for (number, stroke) in strokes.iter().enumerate() {
            if *self.cancel.borrow_and_update() {
                return Ended::Cancelled;
            }
            for key in stroke.keys() {
                input.key(viewer, key, true);
            }
            input.release(viewer);
            let taken = tokio::time::timeout(PATIENCE, input.keyboard_drained());
            if taken.await.is_err() {
                return Ended::HostGone;
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            self.typed.send_replace(number + 1);
        }
        Ended::Done
    }
}
