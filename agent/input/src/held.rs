//! Who holds what down, and for how long that counts.
//!
//! Every viewer has a lease. While it holds something it says so again and again; when it goes quiet,
//! what it held is let go. What two viewers hold is up when both have let go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One that presses: a page, a client of the API, a paste in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Viewer(pub u64);

/// What is held, in the order in which it was pressed.
#[derive(Debug)]
pub struct Held<T> {
    presses: Vec<(Viewer, T)>,
    leases: BTreeMap<Viewer, Instant>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            presses: Vec::new(),
            leases: BTreeMap::new(),
        }
    }
}

impl<T: Copy + PartialEq> Held<T> {
    /// Holds a thing down for a viewer, until `now + lease` unless renewed.
    pub fn press(&mut self, viewer: Viewer, thing: T, now: Instant, lease: Duration) {
        if !self.presses.contains(&(viewer, thing)) {
            self.presses.push((viewer, thing));
        }
        self.leases.insert(viewer, now + lease);
    }

    /// Lets a thing go for a viewer.
    pub fn release(&mut self, viewer: Viewer, thing: T) {
        self.presses.retain(|press| *press != (viewer, thing));
        self.forget_idle(viewer);
    }

    /// Lets all go that a viewer holds.
    pub fn release_all(&mut self, viewer: Viewer) {
        self.presses.retain(|press| press.0 != viewer);
        self.leases.remove(&viewer);
    }

    /// Prolongs a viewer's lease. A viewer that holds nothing has none.
    pub fn renew(&mut self, viewer: Viewer, now: Instant, lease: Duration) {
        if let Some(end) = self.leases.get_mut(&viewer) {
            *end = (now + lease).max(*end);
        }
    }

    /// Lets go what viewers hold that went quiet. Returns those viewers.
    pub fn expire(&mut self, now: Instant) -> Vec<Viewer> {
        let quiet: Vec<Viewer> = self
            .leases
            .iter()
            .filter(|(_, end)| **end <= now)
            .map(|(viewer, _)| *viewer)
            .collect();
        for viewer in &quiet {
            self.release_all(*viewer);
        }
        quiet
    }

    /// Returns when the next lease ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.leases.values().min().copied()
    }

    /// Returns what is down, each once, in the order of the first press.
    pub fn down(&self) -> Vec<T> {
        let mut down = Vec::new();
        for (_, thing) in &self.presses {
            if !down.contains(thing) {
                down.push(*thing);
            }
        }
        down
    }

    fn forget_idle(&mut self, viewer: Viewer) {
        if !self.presses.iter().any(|press| press.0 == viewer) {
            self.leases.remove(&viewer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);
    const ONE: Viewer = Viewer(1);
    const TWO: Viewer = Viewer(2);

    #[test]
    fn what_two_hold_is_up_when_both_have_let_go() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.press(ONE, 'a', now, LEASE);
        held.press(TWO, 'a', now, LEASE);
        held.press(ONE, 'a', now, LEASE);
        held.release(ONE, 'a');
        assert_eq!(held.down(), ['a']);
        held.release(TWO, 'a');
        assert!(held.down().is_empty());
        assert_eq!(held.next_expiry(), None);
    }

    #[test]
    fn a_viewer_that_goes_quiet_lets_go_and_the_others_do_not() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.press(ONE, 'a', now, LEASE);
        held.press(TWO, 'b', now, LEASE);
        held.renew(TWO, now + LEASE / 2, LEASE);
        assert_eq!(held.expire(now + LEASE), [ONE]);
        assert_eq!(held.down(), ['b']);
    }

    #[test]
    fn a_heartbeat_of_one_that_holds_nothing_makes_no_lease() {
        let (mut held, now) = (Held::<char>::default(), Instant::now());
        held.renew(ONE, now, LEASE);
        assert_eq!(held.next_expiry(), None);
    }

    #[test]
    fn a_shorter_lease_does_not_cut_a_longer_one() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.press(ONE, 'a', now, 5 * LEASE);
        held.renew(ONE, now, LEASE);
        assert!(held.expire(now + 2 * LEASE).is_empty());
    }
}
