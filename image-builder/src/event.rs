//! What happens during a build, for whoever shows or records it.

use serde::{Deserialize, Serialize};

/// One thing that happened. Step events are never dropped; progress may be.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step began.
    StepStarted {
        /// Name of the step.
        step: String,
    },
    /// A step ended well.
    StepDone {
        /// Name of the step.
        step: String,
        /// Seconds that it took.
        seconds: f64,
        /// Whether its result came from the cache.
        cached: bool,
    },
    /// Work done so far within the current step.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted: `bytes` or `packages`.
        unit: String,
    },
    /// A fact worth telling.
    Note {
        /// A sentence.
        text: String,
    },
}

/// Receives events.
pub type Sink<'a> = &'a mut (dyn FnMut(Event) + Send);

/// Runs `work` as a step: its start, its end and its time are told.
pub fn step<T, E>(
    sink: Sink<'_>,
    name: &str,
    work: impl FnOnce(Sink<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let started = std::time::Instant::now();
    sink(Event::StepStarted {
        step: name.to_owned(),
    });
    let result = work(sink)?;
    sink(Event::StepDone {
        step: name.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        cached: false,
    });
    Ok(result)
}

/// Tells that a step's result came from the cache.
pub fn cached(sink: Sink<'_>, name: &str) {
    sink(Event::StepDone {
        step: name.to_owned(),
        seconds: 0.0,
        cached: true,
    });
}
