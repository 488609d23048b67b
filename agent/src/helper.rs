//! The privileged half: serves the helper's socket.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use agent_device::config::Config;
use agent_helper::gadget::{self, Places};
use agent_helper::server::{self, HEAD_START, Helper, Machine, Settings};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::CONFIG;
use crate::run::{keep_alive, say};

/// Where the boot partition is mounted.
pub(crate) const BOOT: &str = "/boot/firmware";

/// Serves until it is told to stop; then the host sees the plug pulled.
pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(Path::new(CONFIG))?;
    let places = Places::default();
    let settings = Settings {
        socket: config.helper,
        media: config.state.join("media"),
        state: config.state,
        boot: BOOT.into(),
        places: places.clone(),
        network: "/run/bakelite/network.json".into(),
        serial: server::serial_of(Path::new("/etc/machine-id")),
    };
    let helper = Arc::new(Helper::new(settings, Box::new(Systemd)));
    helper.reset_if_marked()?;
    let listener = helper.listen()?;
    let mut terminate = signal(SignalKind::terminate())?;
    sd_notify::notify(&[NotifyState::Ready])?;
    tokio::select! {
        () = helper.serve(listener) => {}
        () = keep_alive() => {}
        _ = terminate.recv() => sd_notify::notify(&[NotifyState::Stopping])?,
    }
    if let Err(error) = gadget::remove(&places) {
        say(&format!("error: {error}"));
    }
    Ok(())
}

/// The service manager, asked as an administrator would.
struct Systemd;

impl Systemd {
    /// Asks in a moment, on a thread of its own.
    fn ask(verb: &'static str) -> io::Result<()> {
        let ask = move || {
            std::thread::sleep(HEAD_START);
            if let Err(error) = Self::ask_now(verb) {
                say(&format!("error: {error}"));
            }
        };
        let thread = std::thread::Builder::new().name(verb.into());
        thread.spawn(ask).map(drop)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a fixed program with a fixed argument, and no shell"
    )]
    fn ask_now(verb: &str) -> io::Result<()> {
        let status = Command::new("/usr/bin/systemctl").arg(verb).status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("systemctl {verb}: {status}")))
    }
}

impl Machine for Systemd {
    fn restart(&self) -> io::Result<()> {
        Self::ask("reboot")
    }

    fn power_off(&self) -> io::Result<()> {
        Self::ask("poweroff")
    }

    fn say(&self, text: &str) {
        say(text);
    }
}
