//! Starts one of the two processes and tells how it ended.

use std::process::ExitCode;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::{daemon, helper, settings, update};

/// Threads for requests: the work that needs more has threads of its own.
const THREADS: usize = 2;

/// Runs the daemon, or with the argument `helper` its privileged half, with `settings` what comes before both, with
/// `update` what concerns the slots, or with `fetch` what fetches for that.
/// Not generic and not inlined: the program around it compiles in no time.
pub fn main() -> ExitCode {
    let word = std::env::args().nth(1);
    if word.as_deref() == Some("settings") {
        return ended(settings::run());
    }
    if word.as_deref() == Some("fetch") {
        return ended(update::fetch());
    }
    if word.as_deref() == Some("update") {
        return ended(update::run(std::env::args().skip(2)));
    }
    let is_helper = word.is_some_and(|word| word == "helper");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if is_helper { 1 } else { THREADS })
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) if is_helper => runtime.block_on(helper::run()),
        Ok(runtime) => runtime.block_on(daemon::run()),
        Err(error) => Err(error.into()),
    };
    ended(result)
}

/// Tells how it ended.
fn ended(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
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
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Tells the service manager, twice in each of its intervals, that this process is not stuck.
pub(crate) async fn keep_alive() {
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
