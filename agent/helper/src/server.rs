//! The helper's side of the socket.

use std::error::Error;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_network::{ChangeError, Changes, NetworkManager, host_name, manager};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use crate::gadget::{self, Places};
use crate::protocol::{self, Answer, LINE, NetworkRequest, Request};
use crate::{claim_file, media, reset, usb};

/// What the helper works on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Socket that the daemon asks on.
    pub socket: PathBuf,
    /// Folder of the agent's own files.
    pub state: PathBuf,
    /// Folder of the images.
    pub media: PathBuf,
    /// The boot partition.
    pub boot: PathBuf,
    /// Folders of the kernel.
    pub places: Places,
    /// Serial number of the gadget.
    pub serial: String,
    /// Where a change of the network on trial is noted; below `/run`.
    pub network: PathBuf,
}

/// An answer has this long to leave before the device or its network ends.
pub const HEAD_START: Duration = Duration::from_secs(2);

/// How the machine is restarted and switched off: by the service manager in production. Both are asked for
/// here and happen in a moment, so that whoever asked hears of it.
pub trait Machine: Send + Sync + 'static {
    /// Restarts the machine.
    fn restart(&self) -> io::Result<()>;
    /// Switches the machine off.
    fn power_off(&self) -> io::Result<()>;
    /// Says something to whoever reads the device's log.
    fn say(&self, text: &str);
}

/// The helper.
pub struct Helper {
    settings: Settings,
    machine: Box<dyn Machine>,
    network: Changes<NetworkManager>,
    /// One change at a time.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Helper")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Helper {
    /// Makes the helper.
    pub fn new(settings: Settings, machine: Box<dyn Machine>) -> Self {
        let file = settings.network.clone();
        Self {
            settings,
            machine,
            network: Changes::open(NetworkManager, file, since_boot),
            turn: Mutex::new(()),
        }
    }

    /// Opens the socket: for this process's own user and group.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let socket = &self.settings.socket;
        if let Err(error) = fs_err::remove_file(socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(socket)?;
        fs_err::set_permissions(socket, std::fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    }

    /// Answers requests for ever.
    pub async fn serve(self: Arc<Self>, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let helper = Arc::clone(&self);
            tokio::spawn(async move {
                // One that goes away before its answer does not want it.
                drop(helper.connection(stream).await);
            });
        }
    }

    async fn connection(self: &Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        let mut line = Vec::new();
        let (reader, mut writer) = stream.split();
        let limit = u64::try_from(LINE).expect("a small number");
        BufReader::new(reader)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?;
        let answer = match protocol::read::<Request>(&line) {
            // The network has turns of its own: others must not wait for it.
            Ok(Request::Network { request }) => self.answer_network(&request).await,
            Ok(Request::FactoryReset {}) => self.reset(),
            Ok(request) => {
                let _turn = self.turn.lock().await;
                self.answer(&request)
            }
            Err(error) => failed(&error),
        };
        writer.write_all(&protocol::line(&answer)).await
    }

    /// Marks the device. Once the answer is on its way, forgets the network and restarts.
    fn reset(self: &Arc<Self>) -> Answer {
        if let Err(error) = reset::mark(&self.settings.state) {
            return failed(&error);
        }
        let helper = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(HEAD_START).await;
            // The mark stands: all but the network is done at the next start, whatever comes of this.
            if let Err(error) = manager::forget().await {
                helper.machine.say(&format!("error: {error}"));
            }
            if let Err(error) = helper.machine.restart() {
                helper.machine.say(&format!("error: {error}"));
            }
        });
        Answer::Done
    }

    /// Does what a mark asks for. Called before anybody is served.
    pub fn reset_if_marked(&self) -> io::Result<()> {
        if reset::is_marked(&self.settings.state) {
            reset::empty(&self.settings.state)?;
        }
        Ok(())
    }

    async fn answer_network(&self, request: &NetworkRequest) -> Answer {
        let done = |result: Result<(), ChangeError>| match result {
            Ok(()) => Answer::Done,
            Err(error) => failed(&error),
        };
        match request {
            NetworkRequest::Read {} => match self.network.read().await {
                Ok(network) => Answer::Network { network },
                Err(error) => failed(&error),
            },
            NetworkRequest::Change {
                interface,
                plan,
                seconds,
                token,
            } => {
                let limit = Duration::from_secs(*seconds);
                let token = token.reveal();
                done(self.network.change(interface, plan, limit, token).await)
            }
            NetworkRequest::Keep { token, local } => {
                done(self.network.keep(token.reveal(), *local).await)
            }
            NetworkRequest::Search { interface } => match manager::networks(interface).await {
                Ok(networks) => Answer::Networks { networks },
                Err(error) => failed(&error),
            },
            NetworkRequest::Forget { name } => match manager::forget_network(name).await {
                Ok(()) => Answer::Done,
                Err(error) => failed(&error),
            },
            NetworkRequest::Revert {} => done(self.network.go_back().await),
            NetworkRequest::Rename { name } => match host_name::set(name).await {
                Ok(()) => Answer::Done,
                Err(error) => failed(&error),
            },
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let Settings { places, media, .. } = &self.settings;
        let done = |result: Result<(), Box<dyn Error>>| match result {
            Ok(()) => Answer::Done,
            Err(error) => failed(error.as_ref()),
        };
        match request {
            Request::UseProfile { profile } => self.use_profile(*profile),
            Request::Connect { connected: true } => done(gadget::plug(places).map_err(Into::into)),
            Request::Connect { connected: false } => {
                done(gadget::unplug(places).map_err(Into::into))
            }
            Request::Insert { medium } => {
                done(media::insert(places, media, medium).map_err(Into::into))
            }
            Request::Eject {} => done(media::eject(places).map_err(Into::into)),
            Request::ShowClaimCode { code } => {
                done(claim_file::show(&self.settings.boot, code).map_err(Into::into))
            }
            Request::HideClaimCode {} => {
                done(claim_file::hide(&self.settings.boot).map_err(Into::into))
            }
            // These have ways of their own.
            Request::Network { .. } | Request::FactoryReset {} => {
                failed(&io::Error::from(io::ErrorKind::Unsupported))
            }
            Request::ResetUsb { place } => {
                done(usb::reset(place, Path::new("/sys")).map_err(Into::into))
            }
            Request::Restart {} => done(self.machine.restart().map_err(Into::into)),
            Request::PowerOff {} => done(self.machine.power_off().map_err(Into::into)),
        }
    }

    fn use_profile(&self, profile: protocol::Profile) -> Answer {
        match gadget::make(&self.settings.places, profile, &self.settings.serial) {
            Ok(gadget) => Answer::Gadget { gadget },
            Err(error) => failed(&error),
        }
    }
}

/// Returns the error with its causes.
fn failed(error: &dyn Error) -> Answer {
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        next = cause.source();
    }
    Answer::Failed { reason }
}

/// Returns the time since the device started, also while it slept (`CLOCK_BOOTTIME`).
fn since_boot() -> Duration {
    let text = fs_err::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text
        .split(' ')
        .next()
        .and_then(|seconds| seconds.parse().ok());
    // Without a clock a change on trial is over at once: it can only go back.
    seconds.map_or(Duration::MAX / 2, Duration::from_secs_f64)
}

/// Returns the machine's serial for USB, from the id that the system made at its first boot.
pub fn serial_of(machine_id: &Path) -> String {
    gadget::serial(&fs_err::read_to_string(machine_id).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, HelperError};
    use crate::protocol::Profile;

    struct Nothing;

    impl Machine for Nothing {
        fn restart(&self) -> io::Result<()> {
            Ok(())
        }

        fn power_off(&self) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }

        fn say(&self, _: &str) {}
    }

    fn helper(folder: &Path) -> (Arc<Helper>, Client) {
        let settings = Settings {
            socket: folder.join("helper.sock"),
            state: folder.to_owned(),
            media: folder.join("media"),
            boot: folder.join("boot"),
            places: Places {
                gadgets: folder.join("gadgets"),
                controllers: folder.join("udc"),
            },
            serial: "0".into(),
            network: folder.join("network.json"),
        };
        let client = Client::new(&settings.socket);
        (Arc::new(Helper::new(settings, Box::new(Nothing))), client)
    }

    #[tokio::test]
    async fn requests_are_answered_and_failures_carry_their_causes() {
        let folder = tempfile::tempdir().unwrap();
        let (helper, client) = helper(folder.path());
        fs_err::create_dir_all(folder.path().join("udc/one.udc")).unwrap();
        let listener = helper.listen().unwrap();
        tokio::spawn(helper.serve(listener));
        let profile = Profile::BiosSafe;
        let state = client
            .gadget(&Request::UseProfile { profile })
            .await
            .unwrap();
        assert_eq!(state.controller, "one.udc");
        client.ask(&Request::Restart {}).await.unwrap();
        let error = client.ask(&Request::PowerOff {}).await.unwrap_err();
        assert!(error.to_string().contains("permission denied"), "{error}");
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_an_endless_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (helper, _) = helper(folder.path());
        let listener = helper.listen().unwrap();
        let socket = folder.path().join("helper.sock");
        tokio::spawn(helper.serve(listener));
        for bytes in [b"{}\n".to_vec(), b"\xff\n".to_vec(), vec![b'a'; 2 * LINE]] {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            // The helper may close before all was written.
            drop(stream.write_all(&bytes).await);
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            if !answer.is_empty() {
                let answer: Answer = protocol::read(&answer).unwrap();
                assert!(matches!(answer, Answer::Failed { .. }));
            }
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_is_named() {
        let client = Client::new("/nowhere/helper.sock");
        let error = client.ask(&Request::Eject {}).await.unwrap_err();
        assert!(matches!(error, HelperError::Reach { .. }), "{error}");
    }
}
