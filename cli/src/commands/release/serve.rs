//! `bakelite release serve` and `invite`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use release::template::Template;
use release_dashboard::{Desk, Settings};

use super::Outcome;
use super::context::now;
use super::sync;
use crate::arguments::release::ReleaseArguments;
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

/// How long others' events may take to show.
const CARRY_EVERY: Duration = Duration::from_mins(1);

/// Whether the journal is carried by git as well.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carry<'a> {
    /// It stays here.
    No,
    /// Over this repository; the product's own if it is not named.
    Over(Option<&'a str>),
}

/// Serves until it is ended.
pub(super) fn run(
    arguments: &ReleaseArguments,
    listen: SocketAddr,
    public: Option<&str>,
    carry: Carry<'_>,
    ui: &mut Ui,
) -> Outcome {
    // What cannot be used is told before anybody opens a page.
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    let (written, events) = channel();
    let settings = Settings {
        folder: arguments.folder.clone(),
        listen,
        public: public.map(str::to_owned),
        clock: now,
        random: environment::random,
        written: announce(written),
    };
    std::thread::scope(|scope| {
        if let Carry::Over(remote) = carry {
            scope.spawn(move || {
                while let Ok(()) | Err(RecvTimeoutError::Timeout) = events.recv_timeout(CARRY_EVERY)
                {
                    if let Err(error) = sync::carry(arguments, remote) {
                        complain(&error);
                    }
                }
            });
        }
        release_dashboard::serve(settings, |key| {
            let address = public.map_or_else(|| format!("http://{listen}"), str::to_owned);
            let mut text = format!("serving {address}\ninvite somebody: bakelite release invite NAME --public {address}");
            let is_known = template.people.servers.values().any(|server| server.key.trim() == key.trim());
            if !is_known {
                text.push_str(&format!(
                    "\nbefore the next release begins, put this into people.toml, so that the page can write:\n\n[servers.dashboard]\nkey = {key:?}"
                ));
            }
            ui.answer(&text, &serde_json::json!({ "address": address, "key": key }));
        })
    })
    .map_err(CommandError::Serve)?;
    Ok(ExitCode::SUCCESS)
}

fn announce(written: Sender<()>) -> Box<dyn Fn() + Send + Sync> {
    let written = std::sync::Mutex::new(written);
    Box::new(move || {
        let written = written
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Nobody listens where nothing is carried.
        written.send(()).ok();
    })
}

/// The page goes on when the network does not; who runs it reads why.
#[expect(
    clippy::print_stderr,
    reason = "from a thread of its own, while the page is served"
)]
fn complain(error: &CommandError) {
    eprintln!("warning: {}", error.causes().join(": "));
}

/// Makes a link that signs somebody in, once.
pub(super) fn invite(
    arguments: &ReleaseArguments,
    name: &str,
    public: &str,
    ui: &mut Ui,
) -> Outcome {
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    if !template.people.people.contains_key(name) {
        let known: Vec<&str> = template.people.people.keys().map(String::as_str).collect();
        return Err(CommandError::Usage {
            text: format!(
                "{name} is nobody in people.toml; there are: {}",
                known.join(", ")
            ),
        });
    }
    let desk = Desk::new(&arguments.folder.join("server"));
    let token = desk
        .invite(name, &environment::random(), now())
        .map_err(|error| CommandError::Io {
            what: "make the link",
            source: std::io::Error::other(error),
        })?;
    let link = format!("{}/sign-in/{token}", public.trim_end_matches('/'));
    ui.answer(
        &format!("for {name}, once, within a day:\n  {link}"),
        &serde_json::json!({ "person": name, "link": link }),
    );
    Ok(ExitCode::SUCCESS)
}
