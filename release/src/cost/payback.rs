//! Whether automating a step pays.

/// An automation that one thinks about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Automation {
    /// Releases a year.
    pub releases: f64,
    /// Minutes that the step takes now.
    pub minutes_now: f64,
    /// Minutes that it would take then.
    pub minutes_then: f64,
    /// How often it goes wrong by hand, 0 to 1.
    pub errors: f64,
    /// Hours that one error costs.
    pub hours_an_error: f64,
    /// Hours a year to keep the automation alive.
    pub upkeep: f64,
    /// Hours to build it.
    pub build: f64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Paid back within a year.
    WorthIt,
    /// Within two.
    Maybe,
    /// Later, or never.
    Dont,
}

/// The arithmetic, with its break-even points.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Payback {
    /// Hours saved a year.
    pub hours_a_year: f64,
    /// Years until it is paid back; none if never.
    pub years: Option<f64>,
    /// What to do.
    pub verdict: Verdict,
    /// Releases a year from which it would be paid back within one year; none if no number does.
    pub break_even_releases: Option<f64>,
    /// Hours to build it up to which it would be paid back within one year.
    pub break_even_build: f64,
}

impl Automation {
    /// Does the arithmetic: `S = n·(t − t′)/60 + n·p·c − m`, payback `B / S`.
    pub fn payback(&self) -> Payback {
        let a_release =
            (self.minutes_now - self.minutes_then) / 60.0 + self.errors * self.hours_an_error;
        let saved = self.releases * a_release - self.upkeep;
        let years = (saved > 0.0).then(|| self.build / saved);
        Payback {
            hours_a_year: saved,
            years,
            verdict: match years {
                Some(years) if years < 1.0 => Verdict::WorthIt,
                Some(years) if years < 2.0 => Verdict::Maybe,
                _ => Verdict::Dont,
            },
            break_even_releases: (a_release > 0.0).then(|| (self.build + self.upkeep) / a_release),
            break_even_build: saved.max(0.0),
        }
    }
}
