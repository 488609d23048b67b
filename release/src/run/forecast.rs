//! How long it takes from here, if everybody begins at once.

use jiff::{SignedDuration, Timestamp};

use super::Run;
use crate::template::{Effect, Kind, Step};

/// What is between now and a step's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The step.
    pub step: String,
    /// Time on the longest way there.
    pub takes: SignedDuration,
    /// Steps of that way that are open, the next one first.
    pub way: Vec<String>,
}

impl Run<'_> {
    /// Returns what is before the first step that cannot be undone: the release is out when it is done. None
    /// if it is out, or nothing is published.
    pub fn until_published(&self, now: Timestamp) -> Option<Forecast> {
        let mut steps = self.template().steps.iter();
        let first = steps.find(|step| {
            step.written.effect == Effect::Irreversible && self.applies(step) != Some(false)
        })?;
        (!self.is_settled(first)).then(|| self.forecast(first, now))
    }

    /// Returns what is before the end of the release. None if nothing is open.
    pub fn until_closed(&self, now: Timestamp) -> Option<Forecast> {
        let open = self.template().steps.iter();
        let open = open.filter(|step| !self.is_settled(step));
        open.map(|step| self.forecast(step, now))
            .max_by_key(|forecast| forecast.takes)
    }

    fn forecast(&self, step: &Step, now: Timestamp) -> Forecast {
        let template = self.template();
        let before = step
            .written
            .after
            .iter()
            .filter_map(|name| template.step(name));
        let open = before.filter(|step| !self.is_settled(step));
        let longest = open
            .map(|step| self.forecast(step, now))
            .max_by_key(|f| f.takes);
        let (so_far, mut way) = longest.map_or((SignedDuration::ZERO, Vec::new()), |longest| {
            (longest.takes, longest.way)
        });
        way.push(step.name.clone());
        Forecast {
            step: step.name.clone(),
            takes: so_far + self.own_time(step, now, way.len() == 1),
            way,
        }
    }

    fn own_time(&self, step: &Step, now: Timestamp, has_begun: bool) -> SignedDuration {
        if step.written.kind != Kind::Wait {
            return SignedDuration::from_mins(i64::from(step.written.minutes));
        }
        match self.wait(step, now) {
            Some((until, _)) if has_begun => until.duration_since(now).max(SignedDuration::ZERO),
            _ => SignedDuration::from_hours(i64::from(step.written.hours)),
        }
    }
}
