//! The orders of a fleet server: taken, carried out, and told how they ended, over restarts.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agent_device::durable;
use agent_region::Phase;
use agent_update::fleet::{self, Ended, Looked, Order, Taken};
use agent_update::install::{Flow, Progress};
use agent_update::machine::Event;
use ota_bundle::{Bundle, Kind, Verified};

use super::super::found::{Found, Ordered};
use super::super::source::{Network, Remotely};
use super::super::{Failure, install, sentence, trust};
use super::Worker;
use crate::run::say;

/// The order that is carried out. Both slots share it: whichever runs tells how it ended.
const TAKEN: &str = "/data/update-order.json";

impl Worker {
    /// Returns the device's place at the fleet server that its owner chose, if that is what they chose.
    pub(super) fn fleet(&self) -> Option<String> {
        let source = self.shared.view().choices.source.clone()?;
        fleet::base(&source, &self.own.device().ok()?.id)
    }

    /// Tells what ended, and asks what there is to do.
    pub(super) fn look_at_fleet(&mut self, base: &str) -> Result<(), Failure> {
        let network = self.network()?;
        self.report(&network)?;
        let facts = self.own.told_to_fleet();
        let Looked {
            sleep,
            order,
            cancelled,
        } = fleet::look(&mut *lock(&network), base, &facts)?;
        self.sleep = Some(sleep);
        self.offer = None;
        if let Some(action) = cancelled {
            self.take_back(&network, &action)?;
        } else if let Some(order) = order {
            self.offer = self.read_order(&network, base, order)?.map(Found::Fleet);
        }
        Ok(())
    }

    /// Reads the bundle that is ordered, as far as it says what it is. One that this device never takes ends its order.
    fn read_order(
        &mut self,
        network: &Arc<Mutex<Network>>,
        base: &str,
        order: Order,
    ) -> Result<Option<Ordered>, Failure> {
        let mut source = self.ordered_source(base, &order)?;
        let unverified = source.bundle()?;
        let checked = trust::check(unverified, self.own.now())
            .and_then(|bundle| self.takes(&bundle).map(|()| bundle));
        let bundle = match checked {
            Ok(bundle) => bundle,
            Err(error) => {
                let ended = Ended {
                    is_kept: false,
                    reason: sentence(error.as_ref()),
                };
                fleet::close(&mut *lock(network), &order.action, &ended)?;
                return Err(error);
            }
        };
        let manifest = bundle.manifest();
        let root = manifest.image(Kind::Root).verity.as_ref();
        if root.is_some_and(|verity| verity.root == self.own.root()) && !order.asks_owner {
            let ended = Ended {
                is_kept: true,
                reason: format!("version {} runs already", manifest.version),
            };
            fleet::close(&mut *lock(network), &order.action, &ended)?;
            return Ok(None);
        }
        Ok(Some(Ordered {
            order,
            manifest: bundle.id(),
            version: manifest.version.clone(),
            created: manifest.created,
            notes: manifest.notes.clone(),
        }))
    }

    fn takes(&self, bundle: &Bundle<Verified>) -> Result<(), Failure> {
        self.own.facts()?.take(bundle.manifest())?;
        Ok(install::check_floor(&self.own, bundle)?)
    }

    /// Returns where an ordered bundle comes from: the server itself, or another that it names. That one hears no token.
    pub(super) fn ordered_source(
        &mut self,
        base: &str,
        order: &Order,
    ) -> Result<Remotely, Failure> {
        let (network, path) = if let Some(path) = order.href.strip_prefix(base) {
            (self.network()?, path.to_owned())
        } else {
            let parts = order.href.rsplit_once('/');
            let (folder, name) = parts.ok_or("a bundle has no address")?;
            let network = Network::new(format!("{folder}/"), None);
            (Arc::new(Mutex::new(network)), name.to_owned())
        };
        let limit = self.shared.view().choices.limit_kib;
        Ok(Remotely::new(
            network,
            path,
            limit,
            Arc::clone(&self.shared.stop),
        ))
    }

    /// Begins to carry out an order: the server hears that the owner agreed, and the device remembers whose order it is.
    pub(super) fn take_order(&mut self) -> Result<(), Failure> {
        let Some(Found::Fleet(ordered)) = self.offer.clone() else {
            return Ok(());
        };
        let (base, manifest) = (
            self.fleet().ok_or("the fleet server was changed")?,
            ordered.manifest,
        );
        if ordered.order.asks_owner {
            let network = self.network()?;
            fleet::confirm(&mut *lock(&network), &ordered.order.action)?;
            self.look_at_fleet(&base)?;
        }
        match &self.offer {
            Some(Found::Fleet(now)) if now.manifest == manifest && !now.order.asks_owner => {
                let taken = Taken {
                    action: now.order.action.clone(),
                    manifest,
                };
                Ok(durable::write(
                    Path::new(TAKEN),
                    &serde_json::to_vec(&taken)?,
                )?)
            }
            _ => Err("the fleet server has taken its order back".into()),
        }
    }

    /// Tells how the order that was carried out ended, once it has.
    pub(super) fn report(&mut self, network: &Arc<Mutex<Network>>) -> Result<(), Failure> {
        let Some(taken) = taken() else { return Ok(()) };
        let state = self.own.state();
        if state.phase != Phase::Idle {
            return Ok(());
        }
        // Where nothing is known of it, it was not begun: it is ordered still.
        if let Some(outcome) = &state.outcome
            && outcome.manifest == taken.manifest
        {
            let ended = Ended {
                is_kept: outcome.is_kept,
                reason: outcome.reason.clone(),
            };
            fleet::close(&mut *lock(network), &taken.action, &ended)?;
            say(&format!(
                "The fleet server knows how its order {} ended.",
                taken.action
            ));
        }
        forget()
    }

    /// Takes an order back, unless it is too late.
    fn take_back(&mut self, network: &Arc<Mutex<Network>>, action: &str) -> Result<(), Failure> {
        let is_taken = taken().is_some_and(|taken| taken.action == action);
        if is_taken {
            match self.own.state().phase {
                Phase::Writing { .. } | Phase::Written { .. } | Phase::Armed { .. } => {
                    let why = "the fleet server took it back".into();
                    self.own.tell(Event::Failed(why))?;
                }
                Phase::Idle => {}
                _ => {
                    let late = Some("it is on trial already");
                    return Ok(fleet::answer_cancel(&mut *lock(network), action, late)?);
                }
            }
            self.resumes = None;
            forget()?;
        }
        Ok(fleet::answer_cancel(&mut *lock(network), action, None)?)
    }

    /// Returns who tells the fleet server how far its order is; it says to stop when the order is gone.
    pub(super) fn teller(&self) -> impl FnMut(Progress) -> Flow + use<> {
        let order = match (&self.offer, &self.network) {
            (Some(Found::Fleet(ordered)), Some(network)) => {
                Some((ordered.order.action.clone(), Arc::clone(network)))
            }
            _ => None,
        };
        let mut last = 0;
        move |progress: Progress| {
            let tenths = progress.done * 10 / progress.total.max(1);
            let Some((action, network)) = &order else {
                return Flow::On;
            };
            if tenths <= last {
                return Flow::On;
            }
            last = tenths;
            let what = format!(
                "{} MiB of {} are right",
                progress.done >> 20,
                progress.total >> 20
            );
            // Whoever cannot be told hears it the next time.
            match fleet::proceed(&mut *lock(network), action, tenths, &what) {
                Ok(false) => Flow::Stop,
                _ => Flow::On,
            }
        }
    }
}

fn taken() -> Option<Taken> {
    serde_json::from_slice(&fs_err::read(TAKEN).ok()?).ok()
}

fn forget() -> Result<(), Failure> {
    match fs_err::remove_file(TAKEN) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn lock(network: &Mutex<Network>) -> std::sync::MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}
