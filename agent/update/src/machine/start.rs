//! What a start of the device means. The firmware's flag is gone after a power cut, so "the old slot started" is not "the new
//! one is bad".

use agent_region::{Phase, Slot, State, Update, Way};

use super::{Cause, Deed, MOST_ARMS, MOST_STEPS, Step, counted, ended, kept, returning, to};

pub(super) fn started(state: &State, phase: Phase, slot: Slot, boot: String, cause: Cause) -> Step {
    let is_target = slot != state.good;
    match phase {
        Phase::Idle if is_target => adopted(state, slot),
        Phase::Idle => to(state, Phase::Idle),
        Phase::Writing { update } if is_target => Step {
            state: adopted(
                &ended(state, update, "the good slot did not start".into()).state,
                slot,
            )
            .state,
            ..adopted(state, slot)
        },
        Phase::Writing { update } => going_on(state, update, |update| Phase::Writing { update }),
        Phase::Armed { update, way } if is_target => trial(state, update, way, boot),
        Phase::Written { update } if is_target => trial(state, update, Way::OneShot, boot),
        Phase::Written { update } => going_on(state, update, |update| Phase::Written { update }),
        Phase::Armed { update, .. } => once_more(
            state,
            update,
            match cause {
                Cause::Power => "the power was cut before its slot started",
                _ => "its slot was asked for and did not start",
            },
        ),
        // One process of the initramfs may read the same start twice.
        Phase::Trial { boot: before, .. } if is_target && before == boot => {
            to(state, state.phase.clone())
        }
        Phase::Trial {
            update,
            way,
            was_stopped,
            ..
        } => {
            // A register that says "not by power" cannot tell who restarted the device.
            let cause = match cause {
                Cause::Crash if was_stopped => Cause::Restart,
                cause => cause,
            };
            ended_in_trial(state, update, way, is_target, boot, cause)
        }
        // The sector was written: what is missing is to say so.
        Phase::Committing { update, settings } if is_target => Step {
            deed: Deed::PointTo(slot),
            ..kept(state, &update, settings)
        },
        Phase::Committing { update, .. } => {
            once_more(state, update, "the power was cut before it was kept")
        }
        Phase::Returning { update, reason, .. } if !is_target => ended(state, update, reason),
        Phase::Returning { update, reason, .. } if update.steps >= MOST_STEPS => Step {
            state: adopted(&ended(state, update, reason).state, slot).state,
            ..adopted(state, slot)
        },
        Phase::Returning { update, reason, .. } => returning(state, update, Way::Counted, reason),
    }
}

/// The good slot did not start and the firmware went on to the other one: that one is good now, or there is none.
fn adopted(state: &State, slot: Slot) -> Step {
    Step {
        state: State {
            good: slot,
            other: None,
            ..state.clone()
        },
        deed: Deed::PointTo(slot),
        note: Some(format!(
            "slot {} did not start: slot {slot} is kept from now on",
            slot.other()
        )),
    }
}

fn going_on(state: &State, update: Update, phase: impl FnOnce(Update) -> Phase) -> Step {
    let update = counted(update);
    if update.steps >= MOST_STEPS {
        return ended(
            state,
            update,
            "the device started too often while it was installed".into(),
        );
    }
    to(state, phase(update))
}

fn trial(state: &State, update: Update, way: Way, boot: String) -> Step {
    let note = format!(
        "slot {} starts on trial with version {}",
        state.good.other(),
        update.version
    );
    let settings = state.settings.wrapping_add(1);
    Step {
        note: Some(note),
        ..to(
            state,
            Phase::Trial {
                update: counted(update),
                way,
                boot,
                settings,
                was_stopped: false,
            },
        )
    }
}

/// Asks for the slot again, unless it was asked for often enough.
fn once_more(state: &State, update: Update, reason: &str) -> Step {
    let update = counted(update);
    if update.arms >= MOST_ARMS || update.steps >= MOST_STEPS {
        let times = update.arms;
        return ended(
            state,
            update,
            format!("{reason}; it was tried {times} times"),
        );
    }
    Step {
        note: Some(format!(
            "version {} is tried again: {reason}",
            update.version
        )),
        ..to(state, Phase::Written { update })
    }
}

/// The trial ended, and nobody wrote why.
fn ended_in_trial(
    state: &State,
    update: Update,
    way: Way,
    is_target: bool,
    boot: String,
    cause: Cause,
) -> Step {
    let reason = match cause {
        Cause::Power => "the power was cut while it was on trial",
        Cause::Crash => "it crashed or hung while it was on trial",
        Cause::Restart => "the device was restarted while it was on trial",
        Cause::Unknown => "its trial ended without a word",
    };
    match (is_target, cause) {
        (false, Cause::Power | Cause::Unknown | Cause::Restart) => once_more(state, update, reason),
        (false, Cause::Crash) => ended(state, update, reason.into()),
        (true, Cause::Power | Cause::Unknown | Cause::Restart)
            if update.arms < MOST_ARMS && update.steps < MOST_STEPS =>
        {
            let update = Update {
                arms: update.arms + 1,
                ..update
            };
            trial(state, update, way, boot)
        }
        (true, _) => returning(state, update, Way::Counted, reason.into()),
    }
}
