//! The daemon: puts the rooms together and runs until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_device::claim::ClaimCode;
use agent_device::config::Config;
use agent_device::identity::Identity;
use agent_https::Server;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{self, Shared};

/// Settings; all of them have defaults.
const CONFIG: &str = "/etc/bakelite/agent.toml";

/// Threads for requests: the work that needs more has threads of its own.
const THREADS: usize = 2;

/// Runs the daemon. Not generic and not inlined: the program around it compiles in no time.
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            let mut next = error.source();
            while let Some(cause) = next {
                say(&format!("caused by: {cause}"));
                next = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// The journal and the console take what this program says.
#[expect(
    clippy::print_stdout,
    reason = "the service's output is the journal and the console"
)]
fn say(text: &str) {
    println!("{text}");
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(Path::new(CONFIG))?;
    let host = fs_err::read_to_string("/etc/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "bakelite",
        name => name,
    };
    let identity =
        Identity::load_or_make(&config.state, &[format!("{host}.local"), host.to_owned()])?;
    let claim = ClaimCode::load_or_make(&config.state)?;
    let server = Server::bind(config.listen, identity.tls()?, config.connections).await?;
    say(&format!(
        "Bakelite {} on https://{host}.local",
        env!("CARGO_PKG_VERSION")
    ));
    say(&format!("Certificate SHA-256 {}", identity.fingerprint()?));
    say(&format!("Claim code {}", claim.for_console()));
    let router = api::router(Arc::new(Shared {
        root: "/".into(),
        claimed: false,
    }));
    let mut terminate = signal(SignalKind::terminate())?;
    sd_notify::notify(&[NotifyState::Ready])?;
    tokio::select! {
        () = server.serve(router) => {}
        () = keep_alive() => {}
        _ = terminate.recv() => sd_notify::notify(&[NotifyState::Stopping])?,
    }
    Ok(())
}

/// Tells the service manager, twice in each of its intervals, that this process is not stuck.
async fn keep_alive() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(interval.max(Duration::from_secs(1)) / 2);
    loop {
        ticks.tick().await;
        // Without an answer from the manager there is nothing to do but try again.
        drop(sd_notify::notify(&[NotifyState::Watchdog]));
    }
}
