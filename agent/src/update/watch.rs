//! Watches over a slot on trial: kept if it is healthy for long enough, taken back if it is not in time.

use std::time::{Duration, Instant};

use agent_region::{Kind, Phase};
use agent_update::machine::Event;
use serde::Deserialize;

use super::{Failure, Own, health};

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

pub(super) fn run() -> Result<(), Failure> {
    let mut own = Own::open()?;
    match own.updater.state().phase.clone() {
        Phase::Trial { update, .. } => trial(&mut own, &update.baseline),
        // This program died just then.
        Phase::Committing { .. } => keep(&mut own),
        // It was asked for and did not come: once more, as long as there are tries left.
        Phase::Written { update } if update.arms > 0 => {
            let way = own.way();
            own.tell(Event::Arm(way))?;
            own.restart()
        }
        _ => Ok(()),
    }
}

/// Tells the firmware, and then that it was told.
fn keep(own: &mut Own) -> Result<(), Failure> {
    own.tell(Event::Healthy)?;
    own.tell(Event::Committed)?;
    match fs_err::remove_file(TRIAL) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn trial(own: &mut Own, baseline: &[String]) -> Result<(), Failure> {
    let times = match fs_err::read(TIMES) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Times::default(),
    };
    let (stable, deadline) = (
        Duration::from_secs(times.stable_seconds),
        Duration::from_secs(times.deadline_seconds),
    );
    let begun = Instant::now();
    let (mut healthy_since, mut last) = (None, String::new());
    loop {
        let failing = health::all().into_iter().find_map(|(name, result)| {
            // What did not hold in the old slot is no fault of the new one.
            let counts = baseline.contains(&name);
            result
                .err()
                .filter(|_| counts)
                .map(|why| format!("{name}: {why}"))
        });
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
        std::thread::sleep(BETWEEN);
    }
}
