//! When a device looks by itself, and when it is night. Pure: the time and chance are told.

use std::time::Duration;

use crate::protocol::Choices;

/// Between two looks, before chance.
const BETWEEN: Duration = Duration::from_hours(24);
/// After the start, before chance: the network comes first, and a power cut in a town must not bring all devices at once.
const FIRST: Duration = Duration::from_mins(5);
/// After a look that failed; doubled each time.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
const DAY: u64 = 86_400;

/// Looks that a device makes by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    failures: u32,
}

impl Looks {
    /// Returns how long the first look waits. `chance` is anything.
    pub fn first(chance: u64) -> Duration {
        spread(FIRST, chance, 100)
    }

    /// Returns how long the next look waits after one that ended well.
    pub const fn well(&mut self, chance: u64) -> Duration {
        self.failures = 0;
        spread(BETWEEN, chance, 20)
    }

    /// Returns how long the next look waits where a fleet server says how often it is asked.
    pub const fn as_told(sleep: Duration, chance: u64) -> Duration {
        spread(sleep, chance, 10)
    }

    /// Returns how long the next look waits after one that failed; the server may have named a time.
    pub fn failed(&mut self, after: Option<Duration>, chance: u64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = AFTER_FAILURE * 2_u32.pow(self.failures.min(10) - 1);
        let wait = spread(doubled.min(BETWEEN), chance, 50);
        // A server must not switch updates off by naming a time that never comes.
        wait.max(after.unwrap_or_default().min(BETWEEN))
    }
}

/// Returns a time that is up to so many percent longer or shorter.
const fn spread(time: Duration, chance: u64, percent: u64) -> Duration {
    let most = time.as_secs() * percent / 100;
    Duration::from_secs(time.as_secs() - most + chance % (2 * most + 1))
}

/// Whether it is night.
pub fn is_night(choices: &Choices, now: u64) -> bool {
    let minute = now % DAY / 60;
    let since = (minute + 1440 - u64::from(choices.night_from) % 1440) % 1440;
    since < u64::from(choices.night_minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_spread_over_the_day_and_failures_wait_longer_and_longer() {
        let hours = |time: Duration| time.as_secs_f64() / 3600.0;
        let mut looks = Looks::default();
        let waits: Vec<f64> = (0..1000_u64)
            .map(|number| hours(looks.well(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
            .collect();
        assert!(waits.iter().all(|wait| (19.1..28.9).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 20.0) && waits.iter().any(|wait| *wait > 28.0));
        let first: Vec<u64> = (0..1000)
            .map(|number| Looks::first(number).as_secs())
            .collect();
        assert!(first.iter().all(|wait| *wait <= 600) && first.iter().any(|wait| *wait < 10));
        let mut before = 0.0;
        for _ in 0..8 {
            // The middle of the spread.
            let wait = hours(looks.failed(None, 0));
            assert!(wait > before);
            before = wait;
        }
        for _ in 0..40 {
            assert!(hours(looks.failed(None, u64::MAX)) <= 36.0);
        }
        assert!(hours(looks.well(0)) >= 19.0);
        assert!(hours(looks.failed(None, 0)) < 0.1, "it begins anew");
        let named = looks.failed(Some(Duration::from_hours(3)), 0);
        assert!(hours(named) >= 3.0);
        assert!(hours(looks.failed(Some(Duration::MAX), 0)) <= 24.0);
        let told = (0..1000).map(|number| Looks::as_told(Duration::from_mins(5), number).as_secs());
        assert!(told.clone().all(|wait| (270..=330).contains(&wait)) && told.max() > Some(320));
    }

    #[test]
    fn the_night_goes_over_midnight() {
        let choices = Choices {
            night_from: 23 * 60,
            night_minutes: 180,
            ..Choices::default()
        };
        let at =
            |hour: u64, minute: u64| is_night(&choices, 20_000 * DAY + hour * 3600 + minute * 60);
        assert!(at(23, 0) && at(0, 30) && at(1, 59));
        assert!(!at(2, 0) && !at(12, 0) && !at(22, 59));
        let never = Choices {
            night_minutes: 0,
            ..choices
        };
        assert!(!is_night(&never, 0));
    }
}
