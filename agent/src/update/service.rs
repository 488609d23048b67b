//! Answers whoever asks, while the worker works.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_update::protocol::{Answer, Doing, LINE, LONGEST_LOOK, Request, SOCKET, View, line};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::own::Own;
use super::worker::{Command, Worker};
use super::{Failure, choices, sentence};
use crate::run::say;

/// Bundles that the daemon names must be there: it may not have files read that it cannot read itself.
const UPLOADS: &str = "/var/lib/bakelite-agent/media";
/// How long the end waits for the worker to note it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the worker shows, and what it looks at while it works.
#[derive(Debug)]
pub(super) struct Shared {
    view: Mutex<View>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn run() -> Result<(), Failure> {
    let mut own = Own::open()?;
    let shared = Arc::new(Shared {
        view: Mutex::new(Worker::first_view(&mut own)),
        stop: Arc::default(),
    });
    let (sender, receiver) = mpsc::channel();
    let worker = Worker::new(own, Arc::clone(&shared), receiver);
    let ended = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&ended);
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || {
            if let Err(error) = worker.run() {
                say(&format!("error: {}", sentence(error.as_ref())));
            }
            note.store(true, Ordering::Relaxed);
        })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = listen()?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let (shared, sender) = (Arc::clone(&shared), sender.clone());
                    tokio::spawn(async move {
                        // One that goes away before its answer does not want it.
                        drop(connection(stream, &shared, &sender).await);
                    });
                }
                _ = terminate.recv() => return stop(&shared, &sender),
                // The service manager starts it again.
                () = tokio::time::sleep(Duration::from_secs(1)), if ended.load(Ordering::Relaxed) => {
                    return Err("the worker has ended".into());
                }
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
    })
}

fn listen() -> io::Result<UnixListener> {
    match fs_err::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    fs_err::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Has the worker note that somebody restarts the device, or switches it off: that is no fault of a version on trial.
fn stop(shared: &Shared, sender: &Sender<Command>) -> Result<(), Failure> {
    shared.stop.store(true, Ordering::Relaxed);
    let (noted, wait) = mpsc::channel();
    sender.send(Command::Stopping(noted))?;
    Ok(wait.recv_timeout(PATIENCE)?)
}

async fn connection(
    mut stream: UnixStream,
    shared: &Shared,
    sender: &Sender<Command>,
) -> io::Result<()> {
    let is_root = stream.peer_cred()?.uid() == 0;
    let (reader, mut writer) = stream.split();
    let mut text = Vec::new();
    BufReader::new(reader.take(LINE))
        .read_until(b'\n', &mut text)
        .await?;
    let taken = match serde_json::from_slice(&text) {
        Ok(request) => take(request, is_root, shared, sender).await,
        Err(error) => Err(error.to_string()),
    };
    let answer = match taken {
        Ok(()) => Answer::View {
            view: Box::new(shared.view().clone()),
        },
        Err(reason) => Answer::Refused { reason },
    };
    writer.write_all(&line(&answer)).await
}

/// Takes a request, once nothing is looked for any more: a device looks by itself, and nobody can know when.
async fn take(
    request: Request,
    is_root: bool,
    shared: &Shared,
    sender: &Sender<Command>,
) -> Result<(), String> {
    let until = Instant::now() + LONGEST_LOOK;
    while request.needs_rest() && shared.view().doing == Doing::Look && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    obey(request, is_root, shared, sender)
}

/// Obeys a request: what takes time is only begun.
fn obey(
    request: Request,
    is_root: bool,
    shared: &Shared,
    sender: &Sender<Command>,
) -> Result<(), String> {
    let mut view = shared.view();
    let free = |view: &View| match &view.doing {
        Doing::Rest | Doing::Wait { .. } => Ok(()),
        Doing::Look => Err("the device is asking what is new: try again in a moment".to_owned()),
        Doing::Trial { .. } => Err("a version is on trial: wait for its end".to_owned()),
        _ => Err("an update is being worked on: wait for its end, or stop it".to_owned()),
    };
    let (command, doing) = match request {
        Request::Status {} => return Ok(()),
        Request::Stop {} => {
            // What is going on sees it between two pieces; what waits is taken back when its turn comes.
            shared.stop.store(true, Ordering::Relaxed);
            (Command::Stop, None)
        }
        Request::Choose { choices } => {
            choices::save(&choices).map_err(|error| sentence(error.as_ref()))?;
            view.choices = choices;
            (Command::Chosen, None)
        }
        Request::Token { token } => {
            view.has_token =
                choices::save_token(&token).map_err(|error| sentence(error.as_ref()))?;
            (Command::Chosen, None)
        }
        Request::Look {} => {
            free(&view)?;
            if view.choices.source.is_none() {
                return Err("no channel is set: say where updates are published".into());
            }
            (Command::Look, Some(Doing::Look))
        }
        Request::Plan {} => {
            free(&view)?;
            offered(&view)?;
            (Command::Plan, Some(Doing::Plan))
        }
        Request::Install { version, when } => {
            free(&view)?;
            if offered(&view)? != version {
                return Err(format!(
                    "version {version} is no longer what is offered: look again"
                ));
            }
            match when {
                agent_update::protocol::When::Now => (Command::Install, Some(begun(&version))),
                agent_update::protocol::When::Night => {
                    view.at_night = Some(version);
                    return Ok(());
                }
            }
        }
        Request::InstallFile { path, restarts } => {
            free(&view)?;
            if !is_root && !is_upload(&path) {
                return Err("only uploads can be installed from here".into());
            }
            let doing = begun(&path.display().to_string());
            (Command::InstallFile { path, restarts }, Some(doing))
        }
        Request::Back {} => {
            free(&view)?;
            let before = view
                .before
                .clone()
                .ok_or("there is no version to go back to")?;
            (Command::Back, Some(begun(&before)))
        }
    };
    if let Some(doing) = doing {
        view.doing = doing;
        view.problem = None;
    }
    sender.send(command).map_err(|error| error.to_string())
}

fn offered(view: &View) -> Result<&str, String> {
    let offer = view.offer.as_ref();
    offer
        .map(|offer| offer.version.as_str())
        .ok_or_else(|| "there is nothing to install: look first".into())
}

fn begun(version: &str) -> Doing {
    Doing::Install {
        version: version.to_owned(),
        done: 0,
        total: 0,
        fetched: 0,
        written: 0,
    }
}

/// Whether it is a file that the daemon has put there itself, and no link to another.
fn is_upload(path: &PathBuf) -> bool {
    let real = fs_err::canonicalize(path);
    real.is_ok_and(|real| real == *path && real.parent() == Some(Path::new(UPLOADS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(doing: Doing) -> Shared {
        let view = View {
            version: "1.0.0".into(),
            slot: "A".into(),
            doing,
            offer: None,
            looked: None,
            problem: None,
            outcome: None,
            before: Some("0.9.0".into()),
            plan: None,
            at_night: None,
            choices: agent_update::protocol::Choices::default(),
            has_token: false,
            firmware_helps: true,
            events: Vec::new(),
        };
        Shared {
            view: Mutex::new(view),
            stop: Arc::default(),
        }
    }

    #[tokio::test]
    async fn who_asks_while_the_device_looks_by_itself_waits_for_that() {
        let (sender, commands) = mpsc::channel();
        let looking = shared(Doing::Look);
        let looks = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(commands.try_recv().is_err(), "it looks, and took the next");
            looking.view().doing = Doing::Rest;
        };
        let asked = take(Request::Back {}, false, &looking, &sender);
        let (taken, ()) = tokio::join!(asked, looks);
        assert_eq!(taken, Ok(()));
        assert!(matches!(commands.try_recv(), Ok(Command::Back)));
        assert_eq!(looking.view().doing, begun("0.9.0"));
        // To see how it stands, and to stop it, nobody waits.
        let looking = shared(Doing::Look);
        for request in [Request::Status {}, Request::Stop {}] {
            let asked = take(request, false, &looking, &sender);
            assert_eq!(
                tokio::time::timeout(Duration::ZERO, asked).await,
                Ok(Ok(()))
            );
        }
        let counting = shared(Doing::Plan);
        let asked = take(Request::Back {}, false, &counting, &sender).await;
        let why = "an update is being worked on: wait for its end, or stop it";
        assert_eq!(asked, Err(why.to_owned()));
    }
}
