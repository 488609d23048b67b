//! Who controls the machine: one at a time, visibly, and handed over on request.

use std::time::{Duration, Instant};

use crate::held::Viewer;

/// One that has done nothing for so long is not at the keyboard any more: the next to act takes over.
pub const IDLE: Duration = Duration::from_secs(30);
/// A request that was not answered for so long is granted: whoever holds control is not looking.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// One that controls, or would like to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The viewer.
    pub viewer: Viewer,
    /// Name of the user, for the others to see.
    pub name: String,
    since: Instant,
}

/// Somebody else controls the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{holder} controls the machine: request control, or wait until it is free")]
pub struct Busy {
    /// Name of the one who controls.
    pub holder: String,
}

/// Who controls, and who asked for it.
#[derive(Debug, Default)]
pub struct Control {
    holder: Option<Seat>,
    requests: Vec<Seat>,
}

impl Control {
    /// Notes that a viewer acts. It takes control if nobody has it or the one who had it is idle.
    pub fn act(&mut self, viewer: Viewer, name: &str, now: Instant) -> Result<(), Busy> {
        match &mut self.holder {
            Some(seat) if seat.viewer == viewer => {
                seat.since = now;
                Ok(())
            }
            Some(seat) if now.saturating_duration_since(seat.since) < IDLE => Err(Busy {
                holder: seat.name.clone(),
            }),
            _ => {
                self.give(viewer, name, now);
                Ok(())
            }
        }
    }

    /// Asks for control. Returns whether it was free, and is the viewer's now.
    pub fn request(&mut self, viewer: Viewer, name: &str, now: Instant) -> bool {
        if self.act(viewer, name, now).is_ok() {
            return true;
        }
        if !self.requests.iter().any(|seat| seat.viewer == viewer) {
            self.requests.push(Seat {
                viewer,
                name: name.to_owned(),
                since: now,
            });
        }
        false
    }

    /// Hands control from the one who has it to one who asked. Returns whether that was possible.
    pub fn hand_over(&mut self, from: Viewer, to: Viewer, now: Instant) -> bool {
        let is_holder = self.holder.as_ref().is_some_and(|s| s.viewer == from);
        let wanted = self.requests.iter().find(|seat| seat.viewer == to);
        match wanted.filter(|_| is_holder).map(|seat| seat.name.clone()) {
            Some(name) => {
                self.give(to, &name, now);
                true
            }
            None => false,
        }
    }

    /// Refuses a request. Returns whether there was one, made to this holder.
    pub fn refuse(&mut self, holder: Viewer, other: Viewer) -> bool {
        let is_holder = self.holder.as_ref().is_some_and(|s| s.viewer == holder);
        let before = self.requests.len();
        if is_holder {
            self.requests.retain(|seat| seat.viewer != other);
        }
        before != self.requests.len()
    }

    /// Takes control whoever has it: an administrator's right.
    pub fn seize(&mut self, viewer: Viewer, name: &str, now: Instant) {
        self.give(viewer, name, now);
    }

    /// Forgets a viewer that is gone. Returns whether it had control.
    pub fn leave(&mut self, viewer: Viewer) -> bool {
        self.requests.retain(|seat| seat.viewer != viewer);
        let had = self.holder.as_ref().is_some_and(|s| s.viewer == viewer);
        if had {
            self.holder = None;
        }
        had
    }

    /// Grants the oldest request that went unanswered. Returns who lost control.
    pub fn grant_unanswered(&mut self, now: Instant) -> Option<Viewer> {
        let first = self.requests.first()?;
        if now.saturating_duration_since(first.since) < ANSWER_WITHIN && self.holder.is_some() {
            return None;
        }
        let (viewer, name) = (first.viewer, first.name.clone());
        let before = self.holder.as_ref().map(|seat| seat.viewer);
        self.give(viewer, &name, now);
        before
    }

    /// Returns who controls.
    pub fn holder(&self) -> Option<&Seat> {
        self.holder.as_ref()
    }

    /// Returns who asked, the oldest first.
    pub fn requests(&self) -> &[Seat] {
        &self.requests
    }

    fn give(&mut self, viewer: Viewer, name: &str, now: Instant) {
        self.requests.retain(|seat| seat.viewer != viewer);
        self.holder = Some(Seat {
            viewer,
            name: name.to_owned(),
            since: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Viewer = Viewer(1);
    const BOB: Viewer = Viewer(2);

    #[test]
    fn the_first_to_act_controls_and_the_second_is_told_who_does() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.act(ANN, "ann", now).unwrap();
        let busy = control.act(BOB, "bob", now).unwrap_err();
        assert_eq!(busy.holder, "ann");
        control.act(ANN, "ann", now + IDLE).unwrap();
        assert!(control.act(BOB, "bob", now + IDLE).is_err(), "she acted");
        control.act(BOB, "bob", now + 2 * IDLE).unwrap();
        assert!(control.act(ANN, "ann", now + 2 * IDLE).is_err());
    }

    #[test]
    fn control_is_handed_over_refused_or_granted_when_nobody_answers() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.act(ANN, "ann", now).unwrap();
        assert!(!control.hand_over(ANN, BOB, now), "he did not ask");
        assert!(!control.request(BOB, "bob", now));
        assert!(!control.refuse(BOB, BOB), "only the holder refuses");
        assert!(control.refuse(ANN, BOB));
        assert!(!control.request(BOB, "bob", now));
        assert!(control.hand_over(ANN, BOB, now));
        assert_eq!(control.holder().unwrap().name, "bob");
        assert!(!control.request(ANN, "ann", now));
        assert_eq!(control.grant_unanswered(now), None);
        assert_eq!(control.grant_unanswered(now + ANSWER_WITHIN), Some(BOB));
        assert_eq!(control.holder().unwrap().name, "ann");
    }

    #[test]
    fn one_that_leaves_frees_control_for_the_one_who_asked() {
        let (mut control, now) = (Control::default(), Instant::now());
        control.act(ANN, "ann", now).unwrap();
        assert!(!control.request(BOB, "bob", now));
        assert!(control.leave(ANN));
        assert_eq!(control.grant_unanswered(now), None, "nobody lost it");
        assert_eq!(control.holder().unwrap().viewer, BOB);
        assert!(!control.leave(ANN));
    }
}
