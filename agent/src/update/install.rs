//! Installs a verified bundle into the slot that does not run, up to where the next start tries it.

use agent_region::{Kind, Phase, Update};
use agent_update::install::{Flow, Holds, InstallError, Progress, Source, install};
use agent_update::machine::{Event, Refused};
use ota_bundle::{Bundle, Verified};

use super::own::Own;
use super::{Failure, health};
use crate::run::say;

/// Writes a bundle, or goes on writing it. Whoever stops it, or a network that fails, costs nothing of what is written.
pub(super) fn run(
    own: &mut Own,
    bundle: &Bundle<Verified>,
    source: &mut impl Source,
    progress: &mut impl FnMut(Progress) -> Flow,
) -> Result<(), Failure> {
    let manifest = bundle.manifest();
    own.facts()?.take(manifest)?;
    let update = Update {
        manifest: bundle.id(),
        version: manifest.version.clone(),
        rollback_index: manifest.rollback_index,
        created: manifest.created,
        baseline: health::passing(),
        replaces: Some(own.current()),
        arms: 0,
        steps: 0,
    };
    check_floor(own, bundle)?;
    // Before it is written over.
    let holds = holds(own);
    let is_same = |other: &Update| other.manifest == update.manifest;
    match &own.state().phase {
        // It was interrupted: what is written already is found there.
        Phase::Writing { update: other } | Phase::Written { update: other } if is_same(other) => {}
        _ => own.tell(Event::Begin(update))?,
    }
    let running = own.running();
    let version = &manifest.version;
    let target = running.other();
    own.log(
        Kind::Update,
        &format!("version {version} goes into slot {target}"),
    )?;
    let mut last = 0;
    let progress = &mut |so_far: Progress| {
        let percent = so_far.done * 100 / so_far.total.max(1);
        if percent / 10 > last {
            last = percent / 10;
            say(&format!("{percent} %"));
        }
        progress(so_far)
    };
    let done = match install(own.disk(), bundle, (running, holds), source, progress) {
        Ok(done) => done,
        Err(error) => {
            if is_over(&error) {
                own.tell(Event::Failed(error.to_string()))?;
            }
            return Err(error.into());
        }
    };
    if matches!(own.state().phase, Phase::Writing { .. }) {
        own.tell(Event::Written)?;
    }
    let text = format!(
        "version {version} is whole: {} MiB fetched, {} MiB written",
        done.fetched >> 20,
        done.written >> 20
    );
    own.log(Kind::Update, &text)?;
    arm(own)
}

/// Returns what the slots hold. Once something failed, the other one is looked at as if nothing were known.
pub(super) fn holds(own: &Own) -> Holds {
    let state = own.state();
    let went_well = state.outcome.as_ref().is_none_or(|last| last.is_kept);
    let other = state.other.as_ref().filter(|_| went_well);
    Holds {
        running: Some(own.root()),
        other: other.map(|other| other.root),
    }
}

/// Refuses what has faults that must not come back.
pub(super) fn check_floor(own: &Own, bundle: &Bundle<Verified>) -> Result<(), Refused> {
    let (found, floor) = (bundle.manifest().rollback_index, own.floor());
    if found < floor {
        return Err(Refused::Rollback { found, floor });
    }
    Ok(())
}

/// Asks for the other slot at the next start.
pub(super) fn arm(own: &mut Own) -> Result<(), Failure> {
    own.tell(Event::Arm(own.way()))?;
    say("It is tried at the next start.");
    Ok(())
}

/// Whether trying again is of no use.
const fn is_over(error: &InstallError) -> bool {
    matches!(
        error,
        InstallError::Disk(_) | InstallError::Misfit(_) | InstallError::NotKept
    )
}
