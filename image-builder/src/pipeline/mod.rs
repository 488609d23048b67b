//! The contents page: one call a stage, from recipe to outputs.

mod inputs;
mod keys;
mod plan;
mod layers;
mod stages;
mod publish;
mod upkeep;

use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;

use crate::Host;
use crate::agent_package::AgentError;
use crate::download::DownloadError;
use crate::event::{self, Event, Sink};
use crate::lock::{Lock, LockError};
use crate::outputs::report::BuildReport;
use crate::recipe::Recipe;
use crate::sandbox::SandboxError;
use crate::store::{Store, StoreError, Wait};
use crate::vault::{Vault, VaultError};
use crate::worker::base::Emulation;

pub use inputs::Inputs;
pub use keys::Keys;
pub use plan::{Plan, PlannedStep};
pub use publish::{OutputFile, verify_folder};
use stages::Stages;
pub use stages::unpacked_tree;
pub use upkeep::{clear_cache, collect_garbage, shell};

/// What is built, and how.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Folder for outputs: `<out>/<recipe>/<version>/`.
    pub out: PathBuf,
    /// A lock to use instead of resolving afresh.
    pub lock: Option<PathBuf>,
    /// Native programs or not.
    pub emulation: Emulation,
}

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// Folder of the outputs.
    pub folder: PathBuf,
    /// The compressed image.
    pub image: PathBuf,
    /// Digest of the manifest: the candidate's name.
    pub candidate: Sha256Digest,
    /// Files with their digests.
    pub files: Vec<OutputFile>,
    /// Whether everything was there already.
    pub up_to_date: bool,
    /// Times.
    pub report: BuildReport,
}

/// A build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The lock could not be made or read.
    #[error("cannot lock the packages")]
    Lock(#[from] LockError),
    /// The cache cannot be used.
    #[error("cannot use the cache")]
    Store(#[from] StoreError),
    /// Packages could not be had.
    #[error("cannot get the packages")]
    Vault(#[from] VaultError),
    /// The HTTP client failed.
    #[error("cannot download")]
    Download(#[from] DownloadError),
    /// The agent could not be built.
    #[error("cannot build the agent")]
    Agent(#[from] AgentError),
    /// A worker failed.
    #[error("{step} failed")]
    Worker {
        /// Which step.
        step: &'static str,
        /// Why.
        #[source]
        source: SandboxError,
    },
    /// The image would not start on a board that it is for.
    #[error("the image would not start on every board:\n  {}", problems.join("\n  "))]
    Firmware {
        /// Every reason.
        problems: Vec<String>,
    },
    /// The boot partition cannot be read back.
    #[error("cannot read the image back")]
    ReadBack(#[source] crate::firmware::FirmwareError),
    /// A file cannot be read or written.
    #[error("cannot write the outputs")]
    Io(#[from] std::io::Error),
}

/// Opens the cache, waiting for another build if there is one, and clears what broken builds left.
pub fn open_store(host: &Host) -> Result<Store, BuildError> {
    let store = Store::open(&host.cache, Wait::Patiently)?;
    let leftovers = store.leftovers();
    if !leftovers.is_empty() {
        stages::remove(host, leftovers)?;
    }
    Ok(store)
}

/// Makes or reads the lock for a recipe.
pub fn lock(recipe: &Recipe, host: &Host, file: Option<&Path>) -> Result<Lock, LockError> {
    match file {
        Some(file) => Lock::read_for(file, recipe, host),
        None => Lock::resolve(recipe, host),
    }
}

/// Says what a build would do, and why.
pub fn plan(recipe: &Recipe, host: &Host, options: &BuildOptions) -> Result<Plan, BuildError> {
    let lock = lock(recipe, host, options.lock.as_deref())?;
    let keys = Keys::of(recipe, host, &lock, options.emulation)?;
    Ok(Plan::of(recipe, host, &lock, &keys, options))
}

/// Builds the image with all its outputs.
pub fn build(
    recipe: &Recipe,
    host: &Host,
    options: &BuildOptions,
    sink: Sink<'_>,
) -> Result<Built, BuildError> {
    let started = std::time::Instant::now();
    let mut report = BuildReport {
        emulation: emulation_name(host, options.emulation).into(),
        ..BuildReport::default()
    };
    let mut recording = |event: Event| {
        report.record(&event);
        sink(event);
    };
    let sink: Sink<'_> = &mut recording;

    let lock = event::step(sink, "lock", |_| {
        lock(recipe, host, options.lock.as_deref())
    })?;
    let keys = Keys::of(recipe, host, &lock, options.emulation)?;
    if let Some(built) = publish::find(recipe, host, &keys, options) {
        return Ok(built);
    }
    let stages = Stages::begin(recipe, host, options, lock, keys, sink)?;
    let tools = stages.tools(sink)?;
    let base = stages.base(&tools, sink)?;
    let agent = stages.agent(sink)?;
    let initramfs = stages.initramfs(&tools, &base, sink)?;
    let image = stages.image(&tools, &base, agent.as_deref(), initramfs.as_deref(), sink)?;
    event::step(sink, "check boot", |_| {
        publish::check_boot(recipe, &image.file)
    })?;
    let outputs = publish::Outputs {
        stages: &stages,
        base: &base,
        agent: agent.as_deref(),
        image: &image,
    };
    let mut built = event::step(sink, "outputs", |sink| outputs.publish(options, sink))?;
    report.slow_scripts = stages::slow_scripts(&base);
    inputs::LastInputs::write(host, recipe, &stages.keys)?;
    report.total_seconds = started.elapsed().as_secs_f64();
    crate::store::write_atomically(
        &built.folder.join("build-report.json"),
        report.to_json().as_bytes(),
    )?;
    built.report = report;
    Ok(built)
}

fn emulation_name(host: &Host, emulation: Emulation) -> &'static str {
    match emulation {
        _ if host.architecture == crate::lock::TARGET => "native",
        Emulation::Accelerated => "accelerated",
        Emulation::Strict => "strict",
    }
}
