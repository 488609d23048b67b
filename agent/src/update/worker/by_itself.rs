//! What the device does without being asked: looks, goes on with what was interrupted, installs at night or as a fleet server orders,
//! fills its spare slot.

use std::process::Command;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use agent_region::Phase;
use agent_update::protocol::{Automatic, Choices};
use agent_update::schedule::{Looks, is_night};

use super::super::Failure;
use super::super::found::Found;
use super::super::own::is_clock_set;
use super::{Worker, chance};

/// How often it is looked whether it is night.
const TICK: Duration = Duration::from_mins(1);

/// Returns how long to rest until the first of these; what is never due is waited for by nobody.
fn until_first(due: [Option<Instant>; 2], now: Instant) -> Duration {
    let waits = due.into_iter().flatten();
    waits
        .map(|due| due.saturating_duration_since(now))
        .fold(TICK, Duration::min)
}

impl Worker {
    /// Returns how long nothing is to be done.
    pub(super) fn rest(&self) -> Duration {
        until_first([self.look_due(), self.spare_due()], Instant::now())
    }

    /// Returns when the device looks by itself what is new; nothing if it does not.
    fn look_due(&self) -> Option<Instant> {
        let fleet = self.fleet();
        let choices = &self.shared.view().choices;
        let looks = choices.source.is_some()
            && (choices.automatic != Automatic::Off || self.resumes.is_some() || fleet.is_some());
        looks.then_some(self.next)
    }

    /// Does what the owner chose that the device does by itself.
    pub(super) fn by_itself(&mut self) {
        let chosen = self.shared.view().choices.clone();
        if self.look_due().is_some_and(|due| due <= Instant::now()) {
            let result = self.look();
            self.schedule(result.is_ok());
            self.note(result);
            let resumes =
                self.resumes.is_some() && self.resumes == self.offer.as_ref().map(Found::manifest);
            if resumes || self.offer.as_ref().is_some_and(Found::is_forced) {
                let result = self.install(true);
                self.schedule(result.is_ok());
                self.note(result);
                return;
            }
        }
        if is_clock_set() && is_night(&chosen, self.own.now()) {
            self.at_night(&chosen);
        }
        if self.is_spare_due() {
            self.fill_spare();
        }
    }

    fn at_night(&mut self, chosen: &Choices) {
        let Some(offer) = self.offer.clone() else {
            return;
        };
        let wanted = self.shared.view().at_night.take();
        let is_wanted = wanted.as_deref() == Some(offer.version());
        let failed_before = self
            .own
            .state()
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.manifest == offer.manifest() && !outcome.is_kept);
        let by_itself = chosen.automatic == Automatic::Night
            && offer.is_due()
            && !failed_before
            && matches!(self.own.state().phase, Phase::Idle | Phase::Writing { .. })
            && self.shared.view().problem.is_none();
        if is_wanted || by_itself {
            let result = self.install_at_night(&offer, is_wanted, chosen.most_mib);
            // The next look clears what went wrong, and the night after it tries again.
            self.schedule(result.is_ok());
            self.note(result);
        }
    }

    /// Looks once more before it begins: since the last look it may have been halted.
    fn install_at_night(
        &mut self,
        before: &Found,
        is_wanted: bool,
        most_mib: Option<u32>,
    ) -> Result<(), Failure> {
        self.look()?;
        let offer = self.offer.as_ref();
        if offer.is_none_or(|offer| offer.manifest() != before.manifest()) {
            return Ok(());
        }
        self.within_budget(is_wanted, most_mib)?;
        self.install(true)
    }

    /// Refuses what is dearer than the owner allows the device by itself.
    fn within_budget(&mut self, is_wanted: bool, most_mib: Option<u32>) -> Result<(), Failure> {
        if is_wanted {
            return Ok(());
        }
        if is_metered() {
            return Err("the network is metered, so nothing is fetched by itself: install by hand, or use another network".into());
        }
        let Some(most) = most_mib else {
            return Ok(());
        };
        let cost = self.plan()?;
        if cost.fetch > u64::from(most) << 20 {
            return Err(format!(
                "version {} would fetch {} MiB, and the device may fetch {most} MiB by itself: install it by hand",
                self.shared.view().offer.as_ref().map_or("", |offer| &offer.version),
                (cost.fetch >> 20) + 1
            )
            .into());
        }
        Ok(())
    }

    pub(super) fn schedule(&mut self, went_well: bool) {
        let wait = if let Some(sleep) = self.sleep.filter(|_| went_well) {
            Looks::as_told(sleep, chance())
        } else if went_well {
            self.looks.well(chance())
        } else {
            let network = self.network.as_ref();
            let after = network
                .and_then(|network| network.lock().unwrap_or_else(PoisonError::into_inner).after);
            self.looks.failed(after, chance())
        };
        self.next = Instant::now() + wait;
    }
}

/// Whether NetworkManager knows or guesses that bytes cost money, as behind a telephone. Without NetworkManager nobody knows.
/// <https://networkmanager.dev/docs/api/latest/nm-dbus-types.html#NMMetered>
#[expect(
    clippy::disallowed_methods,
    reason = "a fixed program with fixed arguments, and no shell"
)]
fn is_metered() -> bool {
    let name = "org.freedesktop.NetworkManager";
    let words = [
        "get-property",
        name,
        "/org/freedesktop/NetworkManager",
        name,
        "Metered",
    ];
    let output = Command::new("/usr/bin/busctl").args(words).output();
    output.is_ok_and(|output| says_metered(&output.stdout))
}

/// 1 is yes, 3 is a guess that it is.
fn says_metered(answer: &[u8]) -> bool {
    matches!(answer.trim_ascii(), b"u 1" | b"u 3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_nothing_to_do_rests() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(until_first([None, None], now), TICK);
        assert_eq!(until_first([Some(now + 90 * second), None], now), TICK);
        assert_eq!(
            until_first([Some(now + 9 * second), Some(now + second)], now),
            second
        );
        assert_eq!(until_first([None, Some(now)], now + second), Duration::ZERO);
    }

    #[test]
    fn what_costs_money_is_known_or_guessed() {
        for (answer, metered) in [
            ("u 0\n", false),
            ("u 1\n", true),
            ("u 2\n", false),
            ("u 3\n", true),
            ("u 4\n", false),
            ("", false),
        ] {
            assert_eq!(says_metered(answer.as_bytes()), metered, "{answer}");
        }
    }
}
