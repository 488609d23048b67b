//! One change at a time: on trial, then kept or taken back.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use agent_device::durable;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::manager::{Manager, ManagerError, WayBack};
use crate::plan::{BadPlan, Plan, is_interface};
use crate::state::{NetworkState, Pending};

/// How long a change waits for somebody at the new address, at least and at most.
pub const LIMITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));
/// The manager goes back so much later than this room takes no confirmation any more.
const GRACE: Duration = Duration::from_secs(3);

/// Changes of the network. What is on trial is in a file below `/run`: it survives a restart of this
/// process, and not one of the device, which goes back too.
#[derive(Debug)]
pub struct Changes<M> {
    manager: M,
    file: PathBuf,
    /// Time since the device started.
    clock: fn() -> Duration,
    trial: Mutex<Trial>,
}

#[derive(Debug, Default)]
struct Trial {
    running: Option<Running>,
    outcome: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Running {
    interface: String,
    plan: Plan,
    old: Vec<String>,
    /// Whoever was told this was given the new address.
    token: String,
    way_back: WayBack,
    /// Until when it can be kept, in time since the device started.
    until: Duration,
}

/// A change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The plan is no good.
    #[error(transparent)]
    Plan(#[from] BadPlan),
    /// No name of an interface.
    #[error("“{0}” is no name of an interface")]
    Interface(String),
    /// The time limit is no good.
    #[error("a change waits 10 to 600 seconds for somebody at the new address")]
    Limit,
    /// There is one already.
    #[error("another change waits to be kept: keep it or take it back first")]
    Pending,
    /// There is none, or another.
    #[error("no such change waits to be kept: it was kept already, or taken back")]
    NotPending,
    /// Whoever keeps it came by the old address.
    #[error("this does not show that the new address works: open the device there")]
    NotShown,
    /// The network's manager failed.
    #[error("the network was not changed")]
    Manager(#[from] ManagerError),
    /// The change could not be written down.
    #[error("the change cannot be written down, so it was taken back")]
    Write(#[source] io::Error),
}

impl<M: Manager> Changes<M> {
    /// Goes on with what stands in the file, if it is not too late.
    pub fn open(manager: M, file: PathBuf, clock: fn() -> Duration) -> Self {
        let bytes = fs_err::read(&file).unwrap_or_default();
        // A file that is missing or damaged means that nothing waits; the manager goes back by itself.
        let running = serde_json::from_slice::<Running>(&bytes).ok();
        let trial = Mutex::new(Trial {
            running,
            outcome: None,
        });
        Self {
            manager,
            file,
            clock,
            trial,
        }
    }

    /// Tells how the network is.
    pub async fn read(&self) -> Result<NetworkState, ChangeError> {
        let interfaces = self.manager.interfaces().await?;
        let Ok(mut trial) = self.trial.try_lock() else {
            // Joining a network takes a minute at worst: whoever asks is not kept waiting.
            return Ok(NetworkState {
                interfaces,
                is_trying: true,
                ..NetworkState::default()
            });
        };
        self.end_if_late(&mut trial);
        let pending = trial.running.as_ref();
        let pending = pending.map(|running| self.pending(running));
        Ok(NetworkState {
            interfaces,
            pending,
            outcome: trial.outcome.clone(),
            is_trying: false,
        })
    }

    /// Tries a plan. Unless it is kept with the token within the limit, it is taken back.
    pub async fn change(
        &self,
        interface: &str,
        plan: &Plan,
        limit: Duration,
        token: &str,
    ) -> Result<(), ChangeError> {
        plan.check()?;
        if !is_interface(interface) {
            return Err(ChangeError::Interface(interface.chars().take(40).collect()));
        }
        if !(LIMITS.0..=LIMITS.1).contains(&limit) {
            return Err(ChangeError::Limit);
        }
        let mut trial = self.trial.lock().await;
        self.end_if_late(&mut trial);
        if trial.running.is_some() {
            return Err(ChangeError::Pending);
        }
        let before = self.manager.interfaces().await?;
        let before = before.into_iter().find(|entry| entry.name == interface);
        let old = before.map_or_else(Vec::new, |entry| entry.addresses);
        let until = (self.clock)() + limit;
        let tried = self.manager.try_plan(interface, plan, limit + GRACE).await;
        let way_back = match tried {
            Ok(way_back) => way_back,
            Err(error) => {
                trial.outcome = Some(format!("not changed: {error}"));
                return Err(error.into());
            }
        };
        let running = Running {
            interface: interface.to_owned(),
            plan: plan.without_password(),
            old,
            token: token.to_owned(),
            way_back,
            until,
        };
        let bytes = serde_json::to_vec(&running).expect("plain data");
        if let Err(error) = durable::write(&self.file, &bytes) {
            self.manager.go_back(&running.way_back).await?;
            return Err(ChangeError::Write(error));
        }
        trial.running = Some(running);
        trial.outcome = None;
        Ok(())
    }

    /// Keeps the change: somebody who has the token was reached at `local`, which shows that it works. The
    /// token is looked at first: who has none has nothing done.
    pub async fn keep(&self, token: &str, local: IpAddr) -> Result<(), ChangeError> {
        let mut trial = self.trial.lock().await;
        self.end_if_late(&mut trial);
        let running = trial.running.clone().ok_or(ChangeError::NotPending)?;
        if !is_same(token, &running.token) {
            return Err(ChangeError::NotPending);
        }
        let now = NetworkState {
            interfaces: self.manager.interfaces().await?,
            pending: Some(self.pending(&running)),
            ..NetworkState::default()
        };
        if !now.is_shown_by(local) {
            return Err(ChangeError::NotShown);
        }
        let (interface, plan) = (&running.interface, &running.plan);
        if let Err(error) = self.manager.keep(interface, plan, &running.way_back).await {
            // The way back still waits for its time.
            trial.outcome = Some(format!("not kept: {error}"));
            return Err(error.into());
        }
        self.end(&mut trial, "kept");
        Ok(())
    }

    /// Takes the change back now.
    pub async fn go_back(&self) -> Result<(), ChangeError> {
        let mut trial = self.trial.lock().await;
        let running = trial.running.clone().ok_or(ChangeError::NotPending)?;
        self.manager.go_back(&running.way_back).await?;
        self.end(&mut trial, "taken back as asked");
        Ok(())
    }

    fn pending(&self, running: &Running) -> Pending {
        Pending {
            interface: running.interface.clone(),
            plan: running.plan.clone(),
            old: running.old.clone(),
            seconds: running.until.saturating_sub((self.clock)()).as_secs(),
        }
    }

    fn end_if_late(&self, trial: &mut Trial) {
        let is_late = |running: &Running| (self.clock)() >= running.until;
        if trial.running.as_ref().is_some_and(is_late) {
            self.end(
                trial,
                "taken back: nobody was there at the new address in time",
            );
        }
    }

    fn end(&self, trial: &mut Trial, outcome: &str) {
        trial.running = None;
        trial.outcome = Some(outcome.to_owned());
        // What is left there is too late at the next start, or named by no token.
        drop(fs_err::remove_file(&self.file));
    }
}

/// Compares in a time that does not depend on where they differ.
fn is_same(a: &str, b: &str) -> bool {
    let differs = |differs, (a, b): (u8, u8)| differs | (a ^ b);
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, differs) == 0
}

#[cfg(test)]
mod tests;
