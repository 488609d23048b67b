//! Does one thing after the other: looks, counts, installs, watches over a trial. It alone writes to the slots.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_region::{Phase, Update, Way};
use agent_update::channel::{self, Last};
use agent_update::install::{self as installer, Cost, Flow, Progress};
use agent_update::machine::Event;
use agent_update::protocol::{Doing, Ended, Plan, View};
use agent_update::schedule::Looks;
use ota_bundle::{Bundle, Verified};

use super::found::Found;
use super::own::Own;
use super::service::Shared;
use super::source::{Locally, Network, Remotely};
use super::{Failure, choices, health, install, sentence, trial, trust};
use crate::run::say;

mod by_itself;
mod fleet;
mod spare;

/// An update that was interrupted goes on soon after the start.
const SOON: Duration = Duration::from_secs(20);

const NO_TOKEN: &str = "the fleet server wants to know who asks, and this device has no token: set it on the page (Updates), or with `bakelite-agent update token`";

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
    /// Where it looks: what another source offered is not offered any more.
    source: Option<String>,
    network: Option<Arc<Mutex<Network>>>,
    last: Last,
    offer: Option<Found>,
    looks: Looks,
    next: Instant,
    /// When a fleet server wants to be asked again.
    sleep: Option<Duration>,
    /// Manifest of an update that was interrupted.
    resumes: Option<content_digest::Sha256Digest>,
    spare: spare::Spare,
    ends: bool,
}

impl Worker {
    pub(super) fn new(own: Own, shared: Arc<Shared>, commands: Receiver<Command>) -> Self {
        let source = shared.view().choices.source.clone();
        Self {
            own,
            shared,
            commands,
            source,
            network: None,
            last: Last::default(),
            offer: None,
            looks: Looks::default(),
            next: Instant::now() + Looks::first(chance()),
            sleep: None,
            resumes: None,
            spare: spare::Spare::new(),
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
            has_token: choices::authorization().is_some(),
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
            match self.commands.recv_timeout(self.rest()) {
                Ok(command) => self.obey(command)?,
                Err(RecvTimeoutError::Timeout) => self.by_itself(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Goes on with what was going on when the device started, or when this program died.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.fleet().is_some() {
            // A fleet is no crowd: its server says how often it is asked, and waits to hear how orders ended.
            self.next = Instant::now() + SOON;
        }
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
                let source = self.shared.view().choices.source.clone();
                if source != self.source {
                    self.source = source;
                    self.sleep = None;
                    self.offer = None;
                    self.show_offer(None);
                }
                if self.fleet().is_some() {
                    self.next = Instant::now();
                }
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

    fn network(&mut self) -> Result<Arc<Mutex<Network>>, Failure> {
        if let Some(network) = &self.network {
            return Ok(Arc::clone(network));
        }
        let source = self.shared.view().choices.source.clone();
        let source = source.ok_or("no channel is set: say where updates are published")?;
        let network = match self.fleet() {
            Some(base) => {
                let token = choices::authorization().ok_or(NO_TOKEN)?;
                Network::new(base, Some(token))
            }
            None => Network::new(source, None),
        };
        let network = Arc::new(Mutex::new(network));
        self.network = Some(Arc::clone(&network));
        Ok(network)
    }

    fn look(&mut self) -> Result<(), Failure> {
        self.shared.view().doing = Doing::Look;
        let now = self.own.now();
        if let Some(base) = self.fleet() {
            self.look_at_fleet(&base)?;
        } else {
            let network = self.network()?;
            let source = self.shared.view().choices.source.clone();
            let address = source.unwrap_or_default();
            let trusted =
                trust::look(&network, address.trim_end_matches('/'), &mut self.last, now)?;
            let offer = channel::choose(trusted.releases(), &self.own.device()?, now);
            self.offer = offer.map(Found::Channel);
        }
        self.show_offer(Some(now));
        Ok(())
    }

    fn show_offer(&self, looked: Option<u64>) {
        let mut view = self.shared.view();
        view.looked = looked;
        view.problem = None;
        let offered = self.offer.as_ref().map(Found::offered);
        if offered != view.offer {
            view.plan = None;
        }
        view.offer = offered;
    }

    /// Reads the offered bundle, as far as it says what it is.
    fn offered(&mut self) -> Result<(Bundle<Verified>, Remotely), Failure> {
        let found = self
            .offer
            .clone()
            .ok_or("there is nothing to install: look first")?;
        let offer = match found {
            Found::Channel(offer) => offer,
            Found::Fleet(ordered) => {
                let base = self.fleet().ok_or("the fleet server was changed")?;
                let mut source = self.ordered_source(&base, &ordered.order)?;
                let bundle = trust::check(source.bundle()?, self.own.now())?;
                return Ok((bundle, source));
            }
        };
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
        let (bundle, mut source) = self.offered()?;
        self.own.facts()?.take(bundle.manifest())?;
        let slots = (self.own.running(), install::holds(&self.own));
        let shared = Arc::clone(&self.shared);
        let mut goes_on = || flow(&shared);
        let cost = installer::count(self.own.disk(), &bundle, slots, &mut source, &mut goes_on)?;
        self.shared.view().plan = Some(Plan {
            version: bundle.manifest().version.clone(),
            fetch: cost.fetch,
            write: cost.write,
        });
        Ok(cost)
    }

    fn install(&mut self, restarts: bool) -> Result<(), Failure> {
        self.take_order()?;
        let (bundle, mut source) = self.offered()?;
        let result = self.write(&bundle, &mut source, restarts);
        if result.is_err()
            && let Some(network) = self.network.clone()
        {
            // A server that cannot be told now is told at the next look.
            drop(self.report(&network));
        }
        result
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
        self.spare.pause();
        let shared = Arc::clone(&self.shared);
        let version = bundle.manifest().version.clone();
        let mut tell = self.teller();
        let mut progress = |progress: Progress| {
            shared.view().doing = Doing::Install {
                version: version.clone(),
                done: progress.done,
                total: progress.total,
                fetched: progress.fetched,
                written: progress.written,
            };
            match flow(&shared) {
                Flow::On => tell(progress),
                Flow::Stop => Flow::Stop,
            }
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
        let other = self.own.before().cloned();
        let other = other.ok_or("there is no version to go back to")?;
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
    view.before = own.before().map(|other| other.version.clone());
    let state = own.state();
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
