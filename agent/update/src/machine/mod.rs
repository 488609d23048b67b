//! The course of an update as a pure function: state and event in, next state and deed out. The state is on the disk before
//! the deed is done, so that a power cut between the two finds a state that knows what may be half done.
//!
//! ```text
//! Idle ─Back→ Written: what the other slot holds already, from the last time
//! Idle ─Copied→ Idle: the other slot of a device that never was updated holds the same version now
//! Idle ─Begin→ Writing ─Written→ Written ─Arm→ Armed ─Started→ Trial ─Healthy→ Committing ─Committed→ Idle (kept)
//!   ↑             │                 ↑  │         │               │ Failed, or ended without a word
//!   └───Failed────┴─────────────────┼──┴─────────┘               ↓
//!   └───────────────────────────────┼──────Started──────────  Returning
//!                                   └── the slot that was asked for did not come: three times in all
//! ```

use agent_region::{Other, Outcome, Phase, Slot, State, Update, Way};

/// How often a slot is asked for before it is given up. A power cut takes the firmware's flag with it, so once is too
/// little; a slot that never comes must not keep the device busy for ever.
pub const MOST_ARMS: u32 = 3;
/// Steps of one update before it is given up, starts of the device included.
pub const MOST_STEPS: u32 = 28;

/// Why the device started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The power came.
    Power,
    /// It was told to restart.
    Restart,
    /// The watchdog, or a kernel that gave up.
    Crash,
    /// The firmware does not say.
    Unknown,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An update was chosen and verified: its slot may be written over.
    Begin(Update),
    /// The owner wants the version before: the other slot holds it, whole.
    Back(Update),
    /// The other slot holds a copy of the one that runs, whole and flushed.
    Copied(Other),
    /// Its slot is whole, verified and flushed.
    Written,
    /// The slot is to be tried.
    Arm(Way),
    /// The device started.
    Started {
        /// The slot that runs.
        slot: Slot,
        /// Id of this start.
        boot: String,
        /// Why.
        cause: Cause,
    },
    /// Somebody restarts the device, or switches it off.
    Stopping,
    /// The checks of health held long enough.
    Healthy,
    /// The firmware was told, and what it was told was read back.
    Committed,
    /// It went wrong, or somebody stopped it: the reason, in a sentence.
    Failed(String),
}

/// What is to be done once the state is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Ask the firmware to start a slot once.
    AskOnce(Slot),
    /// Take that back.
    Unask,
    /// Have the firmware start a slot from now on.
    PointTo(Slot),
    /// Restart.
    Restart,
    /// Have the firmware start a slot from now on, and restart.
    PointToAndRestart(Slot),
}

/// The next state, what is to be done, and what people may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The state to write.
    pub state: State,
    /// What to do then.
    pub deed: Deed,
    /// A sentence for the log.
    pub note: Option<String>,
}

/// The event cannot happen now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another step comes first.
    #[error("this cannot be done while an update is {doing}")]
    Order {
        /// What is going on.
        doing: &'static str,
    },
    /// There is nothing to go back to.
    #[error("the other slot holds no version that was kept: there is nothing to go back to")]
    NoOther,
    /// An older update than was ever kept: it may have known faults.
    #[error("the update has rollback index {found}, and this device takes none below {floor}")]
    Rollback {
        /// Index of the update.
        found: u32,
        /// Lowest that is taken.
        floor: u32,
    },
}

/// Returns what follows.
pub fn next(state: &State, event: Event) -> Result<Step, Refused> {
    let phase = state.phase.clone();
    match (phase, event) {
        (phase, Event::Started { slot, boot, cause }) => {
            Ok(start::started(state, phase, slot, boot, cause))
        }
        (Phase::Idle | Phase::Writing { .. } | Phase::Written { .. }, Event::Begin(update)) => {
            if update.rollback_index < state.rollback_index {
                return Err(Refused::Rollback {
                    found: update.rollback_index,
                    floor: state.rollback_index,
                });
            }
            let update = Update {
                arms: 0,
                steps: 0,
                ..update
            };
            Ok(Step {
                state: State {
                    other: None,
                    phase: Phase::Writing { update },
                    ..state.clone()
                },
                deed: Deed::Nothing,
                note: None,
            })
        }
        (Phase::Idle, Event::Back(update)) => back(state, update),
        (Phase::Idle, Event::Copied(other)) => Ok(copied(state, other)),
        (Phase::Writing { update }, Event::Written) => Ok(to(
            state,
            Phase::Written {
                update: counted(update),
            },
        )),
        (Phase::Written { update }, Event::Arm(way)) => {
            let mut update = counted(update);
            update.arms += 1;
            let deed = match way {
                Way::OneShot => Deed::AskOnce(state.good.other()),
                Way::Counted => Deed::PointTo(state.good.other()),
            };
            Ok(Step {
                deed,
                ..to(state, Phase::Armed { update, way })
            })
        }
        (
            Phase::Trial {
                update, settings, ..
            },
            Event::Healthy,
        ) => Ok(Step {
            deed: Deed::PointTo(state.good.other()),
            ..to(state, Phase::Committing { update, settings })
        }),
        (
            Phase::Trial {
                update,
                way,
                boot,
                settings,
                ..
            },
            Event::Stopping,
        ) => {
            let was_stopped = true;
            Ok(to(
                state,
                Phase::Trial {
                    update,
                    way,
                    boot,
                    settings,
                    was_stopped,
                },
            ))
        }
        (phase, Event::Stopping) => Ok(to(state, phase)),
        // Somebody died in between: whether the firmware was told is not known, so it is told again.
        (phase @ Phase::Committing { .. }, Event::Healthy) => Ok(Step {
            deed: Deed::PointTo(state.good.other()),
            ..to(state, phase)
        }),
        (Phase::Committing { update, settings }, Event::Committed) => {
            Ok(kept(state, &update, settings))
        }
        (phase, Event::Failed(reason)) => failed(state, phase, reason),
        (phase, _) => Err(Refused::Order {
            doing: doing(&phase),
        }),
    }
}

/// It went wrong, or somebody stopped it.
fn failed(state: &State, phase: Phase, reason: String) -> Result<Step, Refused> {
    match phase {
        Phase::Writing { update } | Phase::Written { update } => Ok(ended(state, update, reason)),
        Phase::Armed { update, way } => Ok(Step {
            deed: match way {
                Way::OneShot => Deed::Unask,
                Way::Counted => Deed::PointTo(state.good),
            },
            ..ended(state, update, reason)
        }),
        Phase::Trial { update, way, .. } => Ok(returning(state, update, way, reason)),
        // What the firmware was told is not known: tell it again where to go.
        Phase::Committing { update, .. } => Ok(returning(state, update, Way::Counted, reason)),
        // The restart did not come: once more.
        Phase::Returning {
            update,
            way,
            reason,
        } => Ok(returning(state, update, way, reason)),
        phase @ Phase::Idle => Err(Refused::Order {
            doing: doing(&phase),
        }),
    }
}

/// Says what is going on, after "an update is".
pub const fn doing(phase: &Phase) -> &'static str {
    match phase {
        Phase::Idle => "not under way",
        Phase::Writing { .. } => "being written",
        Phase::Written { .. } => "waiting to be tried",
        Phase::Armed { .. } => "about to be tried",
        Phase::Trial { .. } => "on trial",
        Phase::Committing { .. } => "being kept",
        Phase::Returning { .. } => "being taken back",
    }
}

/// Returns which copy of the settings a slot uses when it starts into this state.
pub const fn settings_of(state: &State) -> u32 {
    match &state.phase {
        Phase::Trial { settings, .. } | Phase::Committing { settings, .. } => *settings,
        _ => state.settings,
    }
}

fn to(state: &State, phase: Phase) -> Step {
    Step {
        state: State {
            phase,
            ..state.clone()
        },
        deed: Deed::Nothing,
        note: None,
    }
}

fn counted(update: Update) -> Update {
    Update {
        steps: update.steps.saturating_add(1),
        ..update
    }
}

fn back(state: &State, update: Update) -> Result<Step, Refused> {
    let other = state.other.as_ref().ok_or(Refused::NoOther)?;
    if other.rollback_index < state.rollback_index {
        return Err(Refused::Rollback {
            found: other.rollback_index,
            floor: state.rollback_index,
        });
    }
    let update = Update {
        arms: 0,
        steps: 0,
        ..update
    };
    Ok(to(state, Phase::Written { update }))
}

fn copied(state: &State, other: Other) -> Step {
    let note = format!(
        "slot {} holds a copy of version {}: the next update writes only what differs",
        state.good.other(),
        other.version
    );
    Step {
        note: Some(note),
        state: State {
            other: Some(other),
            ..state.clone()
        },
        deed: Deed::Nothing,
    }
}

fn kept(state: &State, update: &Update, settings: u32) -> Step {
    let good = state.good.other();
    Step {
        state: State {
            good,
            settings,
            rollback_index: state.rollback_index.max(update.rollback_index),
            clock_floor: state.clock_floor.max(update.created),
            phase: Phase::Idle,
            outcome: Some(Outcome {
                manifest: update.manifest,
                version: update.version.clone(),
                is_kept: true,
                reason: format!("it was healthy in slot {good}"),
            }),
            other: update.replaces.clone(),
            ..state.clone()
        },
        deed: Deed::Nothing,
        note: Some(format!("version {} is kept in slot {good}", update.version)),
    }
}

fn ended(state: &State, update: Update, reason: String) -> Step {
    let note = format!("version {} is not kept: {reason}", update.version);
    Step {
        state: State {
            phase: Phase::Idle,
            outcome: Some(Outcome {
                manifest: update.manifest,
                version: update.version,
                is_kept: false,
                reason,
            }),
            ..state.clone()
        },
        deed: Deed::Nothing,
        note: Some(note),
    }
}

fn returning(state: &State, update: Update, way: Way, reason: String) -> Step {
    let note = format!("version {} goes back: {reason}", update.version);
    Step {
        deed: match way {
            Way::OneShot => Deed::Restart,
            Way::Counted => Deed::PointToAndRestart(state.good),
        },
        note: Some(note),
        ..to(
            state,
            Phase::Returning {
                update: counted(update),
                way,
                reason,
            },
        )
    }
}

mod start;
#[cfg(test)]
mod tests;
