//! Reports on their way to the host, in order.
//!
//! A short stall of the host loses nothing: reports wait. After a long one nobody means the old key
//! strokes any more, and what counts is the state now: the queue becomes that one report. Motion that
//! waits is added up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::report::Report;

/// How old a report may become. A host that polls takes one every 1 to 10 ms; one that is busy in its
/// firmware has been seen to pause for some tenths of a second.
const STALE: Duration = Duration::from_millis(750);
/// Most reports that wait: bounds memory when somebody floods the device.
const ROOM: usize = 256;

/// The queue of one endpoint.
#[derive(Debug, Default)]
pub struct Outbox<R> {
    waiting: VecDeque<(R, Instant)>,
    state: R,
}

impl<R: Report> Outbox<R> {
    /// Appends a report, or merges it with the last that waits.
    pub fn push(&mut self, report: R, now: Instant) {
        let previous = self.waiting.back().map_or(self.state, |last| last.0);
        self.state = report.at_rest();
        if let Some((last, _)) = self.waiting.back_mut() {
            if let Some(merged) = last.merged(&report) {
                *last = merged;
                return;
            }
        } else if report == previous {
            return;
        }
        if self.waiting.len() >= ROOM {
            self.collapse(now);
        } else {
            self.waiting.push_back((report, now));
        }
    }

    /// Returns the report to write next. Old ones give way to the state that is true now.
    pub fn next(&mut self, now: Instant) -> Option<R> {
        let (_, since) = self.waiting.front()?;
        if now.saturating_duration_since(*since) > STALE {
            self.collapse(now);
        }
        self.waiting.front().map(|first| first.0)
    }

    /// Takes the report away that was written.
    pub fn written(&mut self) {
        self.waiting.pop_front();
    }

    /// Forgets what the host was told: it has to be told the state again.
    pub fn host_lost(&mut self, now: Instant) {
        self.collapse(now);
    }

    /// Whether the host was told all.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn collapse(&mut self, now: Instant) {
        self.waiting.clear();
        self.waiting.push_back((self.state, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::report::{AbsoluteReport, KeyboardReport, RelativeReport};

    fn keys(names: &str) -> KeyboardReport {
        KeyboardReport::of(
            names
                .chars()
                .map(|c| format!("Key{c}").parse::<Key>().unwrap()),
        )
    }

    fn drain<R: Report>(outbox: &mut Outbox<R>, now: Instant) -> Vec<R> {
        let mut all = Vec::new();
        while let Some(report) = outbox.next(now) {
            all.push(report);
            outbox.written();
        }
        all
    }

    #[test]
    fn a_short_stall_keeps_every_stroke_in_order() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for names in ["A", "", "B", "BC", "C", ""] {
            outbox.push(keys(names), now);
        }
        let all = drain(&mut outbox, now + STALE);
        assert_eq!(all, ["A", "", "B", "BC", "C", ""].map(keys));
    }

    #[test]
    fn after_a_long_stall_only_the_state_counts() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for names in ["A", "", "B"] {
            outbox.push(keys(names), now);
        }
        assert_eq!(drain(&mut outbox, now + 2 * STALE), [keys("B")]);
    }

    #[test]
    fn a_flood_is_bounded_and_ends_in_the_right_state() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for number in 0..10_001 {
            outbox.push(keys(if number % 2 == 0 { "A" } else { "" }), now);
        }
        let all = drain(&mut outbox, now);
        assert!(all.len() <= ROOM);
        assert_eq!(all.last(), Some(&keys("A")));
    }

    #[test]
    fn a_host_that_came_back_is_told_the_state_even_if_nothing_changed() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(keys("A"), now);
        drain(&mut outbox, now);
        outbox.push(keys("A"), now);
        assert!(outbox.is_empty(), "it knows");
        outbox.host_lost(now);
        assert_eq!(drain(&mut outbox, now), [keys("A")]);
    }

    #[test]
    fn motion_that_waits_adds_up_and_is_not_repeated() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let by = |x| RelativeReport {
            x,
            ..RelativeReport::default()
        };
        for _ in 0..3 {
            outbox.push(by(50), now);
        }
        assert_eq!(drain(&mut outbox, now), [by(100), by(50)]);
        outbox.host_lost(now);
        assert_eq!(drain(&mut outbox, now), [by(0)]);
        outbox.push(by(5), now);
        outbox.push(by(-5), now);
        assert_eq!(drain(&mut outbox, now), [by(0)]);
    }

    #[test]
    fn the_same_step_of_a_wheel_twice_is_two_steps() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let turn = AbsoluteReport {
            wheel: 1,
            ..AbsoluteReport::default()
        };
        outbox.push(turn, now);
        assert_eq!(drain(&mut outbox, now), [turn]);
        outbox.push(turn, now);
        assert_eq!(drain(&mut outbox, now), [turn]);
    }
}
