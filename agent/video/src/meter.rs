//! How long pictures take, over the last of them.

use std::time::Duration;

use serde::Serialize;

/// Samples that count: some seconds of pictures.
const WINDOW: usize = 256;

/// Durations of one leg of the way.
#[derive(Debug, Default, Clone)]
pub struct Meter {
    samples: Vec<Duration>,
    next: usize,
}

/// Half of the samples are below the first, 95 % below the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Percentiles {
    /// Median in microseconds.
    pub p50: u64,
    /// 95th percentile in microseconds.
    pub p95: u64,
}

impl Meter {
    /// Takes a sample.
    pub fn add(&mut self, sample: Duration) {
        if self.samples.len() < WINDOW {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// Returns the percentiles, by the nearest rank; nothing without samples.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            let sample = sorted.get(at)?;
            Some(u64::try_from(sample.as_micros()).unwrap_or(u64::MAX))
        };
        Some(Percentiles {
            p50: rank(50)?,
            p95: rank(95)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_samples() {
        let mut meter = Meter::default();
        assert_eq!(meter.percentiles(), None);
        for number in (1..=100).rev() {
            meter.add(Duration::from_micros(number));
        }
        let expected = Percentiles { p50: 50, p95: 95 };
        assert_eq!(meter.percentiles(), Some(expected));
        for _ in 0..WINDOW {
            meter.add(Duration::from_micros(7));
        }
        let expected = Percentiles { p50: 7, p95: 7 };
        assert_eq!(meter.percentiles(), Some(expected));
    }
}
