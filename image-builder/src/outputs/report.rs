//! The build report: time by step, what came from the cache, what ran emulated.

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// What a build took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BuildReport {
    /// Steps in order.
    pub steps: Vec<StepTime>,
    /// Seconds from start to end.
    pub total_seconds: f64,
    /// `accelerated`, `strict` or `native`.
    pub emulation: String,
    /// The slowest maintainer scripts, in seconds.
    pub slow_scripts: Vec<(String, f64)>,
}

/// Time of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepTime {
    /// Name.
    pub step: String,
    /// Seconds.
    pub seconds: f64,
    /// Whether the result came from the cache.
    pub cached: bool,
}

impl BuildReport {
    /// Takes note of an event.
    pub fn record(&mut self, event: &Event) {
        if let Event::StepDone {
            step,
            seconds,
            cached,
        } = event
        {
            self.steps.push(StepTime {
                step: step.clone(),
                seconds: *seconds,
                cached: *cached,
            });
        }
    }

    /// Writes the report.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }
}
