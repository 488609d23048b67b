//! Gives the other slot a copy of what runs where it holds no version that was kept: on a new device, and after a good slot that did not
//! start. Only while there is nothing else to do.

use std::time::{Duration, Instant};

use agent_region::{Kind, Phase};
use agent_update::install::copy::Copying;
use agent_update::machine::Event;

use super::super::{Failure, sentence};
use super::Worker;
use crate::run::say;

/// A device that has just started has enough to do.
const AFTER: Duration = Duration::from_mins(1);
/// For each second of work the card has so many for everybody else.
const REST: u32 = 3;

/// How far it is.
#[derive(Debug)]
pub(super) struct Spare {
    next: Instant,
    copying: Option<Copying>,
    /// It is tried once a start.
    has_failed: bool,
}

impl Spare {
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now() + AFTER,
            copying: None,
            has_failed: false,
        }
    }

    /// Gives back its memory: an update needs the slot, and is what the memory is for. If nothing comes of that, it begins again, and
    /// finds what it has copied.
    pub(super) fn pause(&mut self) {
        self.copying = None;
    }
}

impl Worker {
    /// Returns when there is something to copy; nothing if the other slot is of use already, or about to be. What a version
    /// left there that was not kept is the next one's beginning.
    pub(super) fn spare_due(&self) -> Option<Instant> {
        let state = self.own.state();
        let went_well = state.outcome.as_ref().is_none_or(|last| last.is_kept);
        let is_wanted = state.phase == Phase::Idle && state.other.is_none() && went_well;
        (is_wanted && !self.spare.has_failed).then_some(self.spare.next)
    }

    pub(super) fn is_spare_due(&self) -> bool {
        self.spare_due().is_some_and(|due| due <= Instant::now())
    }

    /// Copies a piece. Whatever was wrong is shown: a slot that cannot be copied is one that cannot be updated either.
    pub(super) fn fill_spare(&mut self) {
        let begun = Instant::now();
        let result = self.copy_piece();
        self.spare.next = Instant::now() + begun.elapsed() * REST;
        if let Err(error) = &result {
            self.spare.has_failed = true;
            self.spare.copying = None;
            let text = format!("the other slot gets no copy: {}", sentence(error.as_ref()));
            // A card that takes nothing takes no note either.
            drop(self.own.log(Kind::Update, &text));
        }
        self.note(result);
    }

    fn copy_piece(&mut self) -> Result<(), Failure> {
        let (running, root) = (self.own.running(), self.own.root());
        let copying = match &mut self.spare.copying {
            Some(copying) => copying,
            none => {
                say(&format!(
                    "slot {} gets a copy of what runs",
                    running.other()
                ));
                none.insert(Copying::begin(self.own.disk(), running, root)?)
            }
        };
        if copying.step(self.own.disk())? {
            self.spare.copying = None;
            let other = self.own.current();
            self.own.tell(Event::Copied(other))?;
        }
        Ok(())
    }
}
