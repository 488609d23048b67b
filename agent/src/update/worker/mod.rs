//! Does one thing after the other: looks, counts, installs, watches over a trial. It alone writes to the slots.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_region::{Phase, Update, Way};
use agent_update::channel::{self, Last, Offer};
use agent_update::install::{self as installer, Cost, Flow, Progress};
use agent_update::machine::Event;
use agent_update::protocol::{Automatic, Choices, Doing, Ended, Offered, Plan, View};
use agent_update::schedule::{Looks, is_night};
use ota_bundle::{Bundle, Verified};

use super::own::{Own, is_clock_set};
use super::service::Shared;
use super::source::{Locally, Network, Remotely};
use super::{Failure, choices, health, install, sentence, trial, trust};
use crate::run::say;

/// How often it is looked whether it is night.
const TICK: Duration = Duration::from_mins(1);
/// An update that was interrupted goes on soon after the start.
const SOON: Duration = Duration::from_secs(20);

/// What is to be done.
#[derive(Debug)]
pub(super) enum Command {
    Look,
    Plan,
    Install,
    InstallFile { path: PathBuf, restarts: bool },
    Back,
    Stop,
    Chosen,
    Stopping(Sender<()>),
}

pub(super) struct Worker {
    own: Own,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    network: Option<Arc<Mutex<Network>>>,
    last: Last,
    offer: Option<Offer>,
    looks: Looks,
    next: Instant,
    /// Manifest of an update that was interrupted.
    resumes: Option<content_digest::Sha256Digest>,
    ends: bool,
}

impl Worker {
    pub(super) fn new(own: Own, shared: Arc<Shared>, commands: Receiver<Command>) -> Self {
        Self {
            own,
            shared,
            commands,
            network: None,
            last: Last::default(),
            offer: None,
            looks: Looks::default(),
            next: Instant::now() + Looks::first(chance()),
            resumes: None,
            ends: false,
        }
    }

    /// Returns what is known before anything is done: whoever asks before a trial has begun to look must not take it for over.
    pub(super) fn first_view(own: &mut Own) -> View {
        let mut view = View {
            version: own.version().to_owned(),
            slot: own.running().to_string(),
            doing: Doing::Rest,
            offer: None,
            looked: None,
            problem: None,
            outcome: None,
            before: None,
            plan: None,
            at_night: None,
            choices: choices::load(),
            firmware_helps: own.way() == Way::OneShot,
            events: Vec::new(),
        };
        stand(own, &mut view);
        view
    }

    pub(super) fn run(mut self) -> Result<(), Failure> {
        self.begin()?;
        while !self.ends {
            self.show_rest();
            let wait = self.next.saturating_duration_since(Instant::now());
            match self.commands.recv_timeout(wait.min(TICK)) {
                Ok(command) => self.obey(command)?,
                Err(RecvTimeoutError::Timeout) => self.by_itself(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Goes on with what was going on when the device started, or when this program died.
    fn begin(&mut self) -> Result<(), Failure> {
        match self.own.state().phase.clone() {
            Phase::Trial { update, .. } => self.trial(&update),
            Phase::Committing { .. } => trial::keep(&mut self.own),
            Phase::Returning { reason, .. } => self.own.tell(Event::Failed(reason)),
            // It was asked for and did not come: once more, as long as there are tries left.
            Phase::Written { update } if update.arms > 0 => {
                let way = self.own.way();
                self.own.tell(Event::Arm(way))?;
                self.own.restart()
            }
            Phase::Writing { update } => {
                self.resumes = Some(update.manifest);
                self.next = Instant::now() + SOON;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn trial(&mut self, update: &Update) -> Result<(), Failure> {
        let (shared, commands) = (Arc::clone(&self.shared), &self.commands);
        let mut ends = false;
        let mut wait = |own: &mut Own, time: Duration| {
            shared.view().events = own.events();
            match commands.recv_timeout(time) {
                Ok(Command::Stopping(noted)) => {
                    own.tell(Event::Stopping)?;
                    noted.send(()).ok();
                    ends = true;
                    Ok(false)
                }
                Ok(Command::Stop) => {
                    own.tell(Event::Failed("its owner took it back".into()))?;
                    Ok(false)
                }
                // Nothing else is taken on during a trial.
                Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(true),
                Err(RecvTimeoutError::Disconnected) => Ok(false),
            }
        };
        let shown = Arc::clone(&self.shared);
        let mut show = |doing| shown.view().doing = doing;
        let result = trial::run(&mut self.own, update, &mut show, &mut wait);
        self.ends = ends;
        result
    }

    fn obey(&mut self, command: Command) -> Result<(), Failure> {
        let result = match command {
            Command::Look => self.look(),
            Command::Plan => self.plan().map(drop),
            Command::Install => self.install(true),
            Command::InstallFile { path, restarts } => self.install_file(&path, restarts),
            Command::Back => self.back(),
            Command::Stop => self.stop(),
            Command::Chosen => {
                // Another channel says other things.
                self.network = None;
                self.last = Last::default();
                Ok(())
            }
            Command::Stopping(noted) => {
                self.own.tell(Event::Stopping)?;
                self.ends = true;
                noted.send(()).ok();
                return Ok(());
            }
        };
        self.note(result);
        Ok(())
    }

    /// Shows what went wrong. Nothing that a person asked for ends the service.
    fn note(&self, result: Result<(), Failure>) {
        if let Err(error) = result {
            let why = if self.shared.stop.load(Ordering::Relaxed) {
                "it was stopped".into()
            } else {
                sentence(error.as_ref())
            };
            say(&format!("error: {why}"));
            self.shared.view().problem = Some(why);
        }
    }

    /// Shows how it stands between two deeds.
    fn show_rest(&mut self) {
        stand(&mut self.own, &mut self.shared.view());
    }

    /// Does what the owner chose that the device does by itself.
    fn by_itself(&mut self) {
        let chosen = self.shared.view().choices.clone();
        let is_due = Instant::now() >= self.next;
        if is_due
            && chosen.source.is_some()
            && (chosen.automatic != Automatic::Off || self.resumes.is_some())
        {
            let result = self.look();
            self.schedule(result.is_ok());
            self.note(result);
            if self.resumes.is_some()
                && self.resumes == self.offer.as_ref().map(|offer| offer.manifest)
            {
                let result = self.install(true);
                self.schedule(result.is_ok());
                self.note(result);
                return;
            }
        }
        if is_clock_set() && is_night(&chosen, self.own.now()) {
            self.at_night(&chosen);
        }
    }

    fn at_night(&mut self, chosen: &Choices) {
        let Some(offer) = self.offer.clone() else {
            return;
        };
        let wanted = self.shared.view().at_night.take();
        let is_wanted = wanted.as_deref() == Some(&offer.said.version);
        let failed_before = self
            .own
            .state()
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.manifest == offer.manifest && !outcome.is_kept);
        let by_itself = chosen.automatic == Automatic::Night
            && offer.is_due
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
        before: &Offer,
        is_wanted: bool,
        most_mib: Option<u32>,
    ) -> Result<(), Failure> {
        self.look()?;
        let offer = self.offer.as_ref();
        if offer.is_none_or(|offer| offer.manifest != before.manifest) {
            return Ok(());
        }
        self.within_budget(is_wanted, most_mib)?;
        self.install(true)
    }

    /// Refuses what is dearer than the owner allows the device by itself.
    fn within_budget(&mut self, is_wanted: bool, most_mib: Option<u32>) -> Result<(), Failure> {
        let Some(most) = most_mib.filter(|_| !is_wanted) else {
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

    fn schedule(&mut self, went_well: bool) {
        let wait = if went_well {
            self.looks.well(chance())
        } else {
            let network = self.network.as_ref();
            let after = network
                .and_then(|network| network.lock().unwrap_or_else(PoisonError::into_inner).after);
            self.looks.failed(after, chance())
        };
        self.next = Instant::now() + wait;
    }

    fn network(&mut self) -> Result<Arc<Mutex<Network>>, Failure> {
        if let Some(network) = &self.network {
            return Ok(Arc::clone(network));
        }
        let source = self.shared.view().choices.source.clone();
        let source = source.ok_or("no channel is set: say where updates are published")?;
        let network = Arc::new(Mutex::new(Network::new(source)));
        self.network = Some(Arc::clone(&network));
        Ok(network)
    }

    fn look(&mut self) -> Result<(), Failure> {
        self.shared.view().doing = Doing::Look;
        let network = self.network()?;
        let now = self.own.now();
        let trusted = trust::look(&network, &mut self.last, now)?;
        self.offer = channel::choose(trusted.releases(), &self.own.device()?, now);
        let mut view = self.shared.view();
        view.looked = Some(now);
        view.problem = None;
        let offered = self.offer.as_ref().map(|offer| Offered {
            version: offer.said.version.clone(),
            published: offer.said.published,
            notes: offer.said.notes.clone(),
            length: offer.said.length,
            is_due: offer.is_due,
            is_retreat: offer.is_retreat,
        });
        if offered != view.offer {
            view.plan = None;
        }
        view.offer = offered;
        Ok(())
    }

    /// Reads the offered bundle, as far as it says what it is.
    fn offered(&mut self) -> Result<(Bundle<Verified>, Remotely), Failure> {
        let offer = self
            .offer
            .clone()
            .ok_or("there is nothing to install: look first")?;
        let limit = self.shared.view().choices.limit_kib;
        let stop = Arc::clone(&self.shared.stop);
        let delta = offer.said.delta_from(self.own.root()).cloned();
        let mut source = Remotely::new(self.network()?, offer.said.bundle, limit, stop);
        let bundle = source.bundle()?.verify(offer.manifest)?;
        if let Some(delta) = delta {
            source.use_delta(&delta);
        }
        Ok((bundle, source))
    }

    fn plan(&mut self) -> Result<Cost, Failure> {
        self.shared.view().doing = Doing::Plan;
        let (bundle, source) = self.offered()?;
        self.own.facts()?.take(bundle.manifest())?;
        let (running, shared) = (self.own.running(), Arc::clone(&self.shared));
        let cost = installer::count(self.own.disk(), &bundle, running, &source, &mut || {
            flow(&shared)
        })?;
        self.shared.view().plan = Some(Plan {
            version: bundle.manifest().version.clone(),
            fetch: cost.fetch,
            write: cost.write,
        });
        Ok(cost)
    }

    fn install(&mut self, restarts: bool) -> Result<(), Failure> {
        let (bundle, mut source) = self.offered()?;
        self.write(&bundle, &mut source, restarts)
    }

    fn install_file(&mut self, path: &Path, restarts: bool) -> Result<(), Failure> {
        let mut source = Locally::open(path)?;
        let bundle = trust::check(source.bundle()?, self.own.now())?;
        self.write(&bundle, &mut source, restarts)
    }

    fn write(
        &mut self,
        bundle: &Bundle<Verified>,
        source: &mut impl installer::Source,
        restarts: bool,
    ) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let version = bundle.manifest().version.clone();
        let mut progress = |progress: Progress| {
            shared.view().doing = Doing::Install {
                version: version.clone(),
                done: progress.done,
                total: progress.total,
                fetched: progress.fetched,
                written: progress.written,
            };
            flow(&shared)
        };
        install::run(&mut self.own, bundle, source, &mut progress)?;
        self.resumes = None;
        if restarts { self.own.restart() } else { Ok(()) }
    }

    /// Takes back what its owner does not want: only what was interrupted goes on by itself.
    fn stop(&mut self) -> Result<(), Failure> {
        self.shared.stop.store(false, Ordering::Relaxed);
        self.resumes = None;
        self.shared.view().at_night = None;
        if let Phase::Writing { .. } | Phase::Written { .. } | Phase::Armed { .. } =
            self.own.state().phase
        {
            self.shared.view().problem = None;
            let why = "its owner stopped it; what is written is found again".into();
            self.own.tell(Event::Failed(why))?;
        }
        Ok(())
    }

    /// Goes back to what the other slot still holds.
    fn back(&mut self) -> Result<(), Failure> {
        let other = self
            .own
            .state()
            .other
            .clone()
            .ok_or("there is no version to go back to")?;
        let update = Update {
            manifest: other.root,
            version: other.version,
            rollback_index: other.rollback_index,
            created: 0,
            baseline: health::passing(),
            replaces: Some(self.own.current()),
            arms: 0,
            steps: 0,
        };
        self.own.tell(Event::Back(update))?;
        install::arm(&mut self.own)?;
        self.own.restart()
    }
}

/// Puts what the device remembers into a view.
fn stand(own: &mut Own, view: &mut View) {
    view.events = own.events();
    view.slot = own.running().to_string();
    let (state, floor) = (own.state(), own.floor());
    view.doing = match &state.phase {
        Phase::Written { update } | Phase::Armed { update, .. } => Doing::Wait {
            version: update.version.clone(),
        },
        Phase::Trial { update, .. }
        | Phase::Committing { update, .. }
        | Phase::Returning { update, .. } => Doing::Trial {
            version: update.version.clone(),
            checks: Vec::new(),
            healthy: 0,
            needed: 0,
            left: 0,
        },
        Phase::Idle | Phase::Writing { .. } => Doing::Rest,
    };
    view.outcome = state.outcome.clone().map(|outcome| Ended {
        version: outcome.version,
        is_kept: outcome.is_kept,
        reason: outcome.reason,
    });
    view.before = state
        .other
        .as_ref()
        .filter(|other| other.rollback_index >= floor)
        .map(|other| other.version.clone());
}

fn flow(shared: &Shared) -> Flow {
    if shared.stop.load(Ordering::Relaxed) {
        Flow::Stop
    } else {
        Flow::On
    }
}

/// Returns a number that nobody knows before.
fn chance() -> u64 {
    getrandom::u64().unwrap_or_default()
}
