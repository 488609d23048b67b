//! What a person asks on the device's own command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_update::protocol::{Answer, Doing, Request, SOCKET, Token, View, When, ask};

use super::Failure;
use super::own::Own;
use crate::run::say;

const WORDS: &str = "say status, look, plan, install, install FILE, stop, back, or token with the token on the standard input";

pub(super) fn run(words: &[&str]) -> Result<(), Failure> {
    match *words {
        ["status"] => status(),
        ["look"] => look(),
        ["plan"] => {
            look()?;
            let view = follow(&Request::Plan {})?;
            let plan = view.plan.ok_or("there is nothing to install")?;
            say(&format!(
                "version {}: {} KiB to fetch, {} KiB to write",
                plan.version,
                plan.fetch >> 10,
                plan.write >> 10
            ));
            Ok(())
        }
        ["install"] => {
            look()?;
            let offer = send(&Request::Status {})?.offer;
            let version = offer.ok_or("there is nothing to install")?.version;
            let when = When::Now;
            waits(&follow(&Request::Install { version, when })?, true)
        }
        ["install", file] => {
            // The service has a folder of its own to begin from.
            let path: PathBuf = fs_err::canonicalize(file)?;
            let restarts = false;
            waits(&follow(&Request::InstallFile { path, restarts })?, restarts)
        }
        ["stop"] => {
            send(&Request::Stop {})?;
            say("It stops: nothing goes on by itself, and a version on trial goes back.");
            Ok(())
        }
        ["back"] => waits(&follow(&Request::Back {})?, true),
        ["token"] => {
            let token = Token::new(&std::io::read_to_string(std::io::stdin())?);
            let view = send(&Request::Token { token })?;
            say(if view.has_token {
                "The fleet server is shown the token."
            } else {
                "There is no token."
            });
            Ok(())
        }
        _ => Err(WORDS.into()),
    }
}

fn look() -> Result<(), Failure> {
    let view = follow(&Request::Look {})?;
    match view.offer {
        None => say(&format!("version {} is the newest", view.version)),
        Some(offer) => say(&format!(
            "version {} can be installed{}",
            offer.version,
            if offer.is_due {
                ""
            } else {
                "; it comes by itself later"
            }
        )),
    }
    Ok(())
}

fn waits(view: &View, restarts: bool) -> Result<(), Failure> {
    match &view.doing {
        Doing::Wait { version } if restarts => {
            say(&format!(
                "The device restarts, and tries version {version}."
            ));
            Ok(())
        }
        Doing::Wait { version } => {
            say(&format!(
                "It is tried at the next start: version {version}. Restart the device."
            ));
            Ok(())
        }
        _ => match &view.outcome {
            Some(ended) if !ended.is_kept => {
                Err(format!("it was not installed: {}", ended.reason).into())
            }
            _ => Err("it was not installed".into()),
        },
    }
}

/// Asks, and tells how it goes until it is over.
fn follow(request: &Request) -> Result<View, Failure> {
    let mut view = send(request)?;
    let mut last = 0;
    while matches!(
        view.doing,
        Doing::Look | Doing::Plan | Doing::Install { .. }
    ) {
        if let Doing::Install { done, total, .. } = view.doing {
            let tenth = done * 10 / total.max(1);
            if tenth > last {
                last = tenth;
                say(&format!("{tenth}0 %"));
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        view = send(&Request::Status {})?;
    }
    match view.problem {
        Some(problem) => Err(problem.into()),
        None => Ok(view),
    }
}

fn send(request: &Request) -> Result<View, Failure> {
    let answer = ask(Path::new(SOCKET), request);
    let unreached = |error| {
        format!("the updater does not answer ({error}): is bakelite-update.service running?")
    };
    match answer.map_err(unreached)? {
        Answer::View { view } => Ok(*view),
        Answer::Refused { reason } => Err(reason.into()),
    }
}

/// Prints the state as it is on the disk, and the last events: also where the service does not run.
fn status() -> Result<(), Failure> {
    let mut own = Own::open()?;
    let (running, good) = (own.running(), own.state().good);
    say(&format!("slot {running} runs, slot {good} is kept"));
    say(&format!("version {}", own.version()));
    say(&serde_json::to_string_pretty(own.state())?);
    for event in own.events() {
        say(&format!("{:>11}  {}", event.time, event.text));
    }
    Ok(())
}
