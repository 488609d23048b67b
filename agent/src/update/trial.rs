//! Watches over a slot on trial: kept if it is healthy for long enough, taken back if it is not in time.

use std::time::{Duration, Instant};

use agent_region::{Kind, Update};
use agent_update::machine::Event;
use agent_update::protocol::{Check, Doing};
use serde::Deserialize;

use super::own::Own;
use super::{Failure, health};

/// Other times than the usual ones, in the verified root file system.
const TIMES: &str = "/usr/lib/bakelite/health.json";
/// What the timer looks for that restarts a device whose watch does not run.
const TRIAL: &str = "/run/bakelite-trial";
const BETWEEN: Duration = Duration::from_secs(5);

/// How long.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Times {
    /// All checks must hold for so long without a break, in seconds.
    stable_seconds: u64,
    /// … before so long has passed since the watch began.
    deadline_seconds: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            stable_seconds: 60,
            deadline_seconds: 600,
        }
    }
}

/// Watches until the version is kept or goes back. `show` is told how it stands; `wait` waits, and says whether to go on.
pub(super) fn run(
    own: &mut Own,
    update: &Update,
    show: &mut dyn FnMut(Doing),
    wait: &mut dyn FnMut(&mut Own, Duration) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let times = match fs_err::read(TIMES) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Times::default(),
    };
    let (stable, deadline) = (
        Duration::from_secs(times.stable_seconds),
        Duration::from_secs(times.deadline_seconds),
    );
    let begun = Instant::now();
    let whole = health::Whole::begin();
    let (mut healthy_since, mut last) = (None, String::new());
    loop {
        let mut checks: Vec<Check> = health::all()
            .into_iter()
            .map(|(name, result)| Check {
                // What did not hold in the old slot is no fault of the new one.
                counts: update.baseline.contains(&name),
                name,
                problem: result.err(),
                is_pending: false,
            })
            .collect();
        let read = whole.result();
        checks.push(Check {
            name: "the root file system".into(),
            is_pending: read.is_none(),
            problem: read.map_or(Some("it is still being read".into()), Result::err),
            counts: true,
        });
        let failing = checks
            .iter()
            .filter(|check| check.counts)
            .find_map(|check| Some(format!("{}: {}", check.name, check.problem.as_ref()?)));
        match failing {
            None => {
                let since = *healthy_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= stable {
                    own.log(Kind::Health, &format!("healthy for {} s", stable.as_secs()))?;
                    return keep(own);
                }
            }
            Some(why) => {
                healthy_since = None;
                if why != last {
                    own.log(Kind::Health, &why)?;
                    last = why;
                }
            }
        }
        if begun.elapsed() >= deadline {
            let why = if last.is_empty() {
                "it was not healthy for long enough".to_owned()
            } else {
                last
            };
            return own.tell(Event::Failed(why));
        }
        show(Doing::Trial {
            version: update.version.clone(),
            checks,
            healthy: healthy_since.map_or(0, |since: Instant| since.elapsed().as_secs()),
            needed: times.stable_seconds,
            left: deadline.saturating_sub(begun.elapsed()).as_secs(),
        });
        if !wait(own, BETWEEN)? {
            return Ok(());
        }
    }
}

/// Tells the firmware, and then that it was told.
pub(super) fn keep(own: &mut Own) -> Result<(), Failure> {
    own.tell(Event::Healthy)?;
    own.tell(Event::Committed)?;
    match fs_err::remove_file(TRIAL) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
