//! Slows guessing down, for each account and for each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;
/// Most keys that are remembered: bounds memory. When all are in use, unknown ones have to wait.
const ROOM: usize = 4096;
/// After so long without a failure one is forgotten.
const FORGET: Duration = Duration::from_hours(1);

/// What is slowed down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An account, by the name that was given. Whoever attacks it must not lock its owner out, so
    /// the longest pause is short.
    Account(String),
    /// An address; for IPv6 the network of 64 bits that one subscriber has.
    Address(IpAddr),
}

impl Subject {
    /// Returns the subject of an account name.
    pub fn account(name: &str) -> Self {
        Self::Account(name.chars().take(64).collect())
    }

    /// Returns the subject of a peer's address.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let mut segments = address.segments();
                segments[4..].fill(0);
                Self::Address(IpAddr::V6(segments.into()))
            }
            address @ IpAddr::V4(_) => Self::Address(address),
        }
    }

    fn longest_pause(&self) -> Duration {
        match self {
            Self::Account(_) => Duration::from_secs(30),
            Self::Address(_) => Duration::from_mins(15),
        }
    }
}

/// The memory of failures.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: BTreeMap<Subject, (u32, Instant)>,
}

impl BackOff {
    /// Returns how long a subject has to wait before the next attempt counts.
    pub fn wait(&self, subject: &Subject, now: Instant) -> Option<Duration> {
        let Some((count, last)) = self.failures.get(subject) else {
            return (self.failures.len() >= ROOM).then_some(Duration::from_secs(1));
        };
        let doublings = count.checked_sub(FREE)?.min(20);
        let pause = Duration::from_secs(1 << doublings).min(subject.longest_pause());
        (*last + pause)
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    /// Notes a failure.
    pub fn failed(&mut self, subject: Subject, now: Instant) {
        self.failures
            .retain(|_, (_, last)| now.saturating_duration_since(*last) < FORGET);
        if self.failures.len() < ROOM || self.failures.contains_key(&subject) {
            let entry = self.failures.entry(subject).or_insert((0, now));
            *entry = (entry.0.saturating_add(1), now);
        }
    }

    /// Forgets a subject that got in.
    pub fn succeeded(&mut self, subject: &Subject) {
        self.failures.remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let (mut back_off, mut now) = (BackOff::default(), Instant::now());
        let subject = Subject::account("ann");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            back_off.failed(subject.clone(), now);
            let wait = back_off.wait(&subject, now).unwrap_or_default();
            pauses.push(wait.as_secs());
            now += wait;
            assert_eq!(back_off.wait(&subject, now), None, "then one may try");
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        back_off.succeeded(&subject);
        assert_eq!(back_off.wait(&subject, now), None);
    }

    #[test]
    fn all_addresses_of_one_subscriber_are_one() {
        let subject = |text: &str| Subject::address(text.parse().unwrap());
        assert_eq!(subject("2001:db8::1"), subject("2001:db8::ffff:1"));
        assert_ne!(subject("2001:db8::1"), subject("2001:db8:0:1::1"));
        assert_eq!(subject("::ffff:192.0.2.1"), subject("192.0.2.1"));
        assert_ne!(subject("192.0.2.1"), subject("192.0.2.2"));
    }

    #[test]
    fn a_full_table_makes_the_unknown_wait_and_forgets_in_time() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for number in 0..2 * ROOM {
            back_off.failed(Subject::account(&number.to_string()), now);
        }
        assert_eq!(back_off.failures.len(), ROOM);
        assert!(back_off.wait(&Subject::account("x"), now).is_some());
        back_off.failed(Subject::account("x"), now + FORGET);
        assert_eq!(back_off.failures.len(), 1);
    }
}
