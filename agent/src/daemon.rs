//! The daemon: puts the rooms together and runs until it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use agent_access::Access;
use agent_access::audit::AuditLog;
use agent_api::{App, Parts};
use agent_device::claim::ClaimCode;
use agent_device::config::Config;
use agent_device::identity::Identity;
use agent_helper::Client;
use agent_helper::gadget::Places;
use agent_https::Server;
use agent_media::Store;
use agent_power::{Atx, Channels};
use agent_video::Video;
use agent_webrtc::Exchange;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::host;
use crate::run::{keep_alive, say};

/// Settings; all of them have defaults.
pub(crate) const CONFIG: &str = "/etc/bakelite/agent.toml";

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(Path::new(CONFIG))?;
    let host = fs_err::read_to_string("/etc/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "bakelite",
        name => name,
    };
    let names = [format!("{host}.local"), host.to_owned()];
    let identity = Identity::load_or_make(&config.state, &names)?;
    let access = Access::load(&config.state)?;
    // One that has an owner needs no code.
    let claim = if access.is_claimed() {
        ClaimCode::none()
    } else {
        ClaimCode::load_or_make(&config.state)?
    };
    let server = Server::bind(config.listen, identity.tls()?, config.connections).await?;
    // Browsers that find no UDP here take another way to the picture.
    let webrtc = match Exchange::bind(config.listen).await {
        Ok(exchange) => Some(exchange),
        Err(error) => {
            say(&format!("error: no WebRTC: {}: {error}", config.listen));
            None
        }
    };
    let server = match webrtc.clone() {
        Some(exchange) => server.with_other(move |stream, peer| {
            let exchange = Arc::clone(&exchange);
            async move { exchange.serve_stream(stream, peer).await }
        }),
        None => server,
    };
    say(&format!(
        "Bakelite {} on https://{host}.local",
        env!("CARGO_PKG_VERSION")
    ));
    say(&format!("Certificate SHA-256 {}", identity.fingerprint()));
    if !access.is_claimed() {
        say(&format!("Claim code {}", claim.for_console()));
    }
    let chosen = agent_api::Settings::load(&config.state);
    let (video, resets) = Video::start(agent_video::Settings {
        device: config.video,
        quality: chosen.quality,
        bitrate: chosen.bitrate,
        // The network needs a processor too.
        threads: std::thread::available_parallelism().map_or(1, |n| n.get().clamp(2, 4) - 1),
    })?;
    // A line that is named wrongly must not keep the owner from all else.
    let atx = Atx::open(&config.atx).unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        Atx::default()
    });
    let channels = Channels::open(&config.gpio).unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        Channels::default()
    });
    let app = App::new(Parts {
        atx,
        channels,
        video,
        webrtc: webrtc.clone(),
        media: Store::open(&config.state.join("media"))?,
        identity,
        root: "/".into(),
        audit: AuditLog::new(config.state.join("audit.jsonl")),
        state: config.state,
        names: names.into_iter().chain(config.names).collect(),
        passwords_for_clients: config.passwords_for_clients,
        access,
        claim,
        input: Arc::default(),
        helper: Client::new(config.helper),
        updater: agent_update::protocol::SOCKET.into(),
        places: Places::default(),
        clock: now,
    });
    let router = agent_api::router(&app);
    let mut terminate = signal(SignalKind::terminate())?;
    sd_notify::notify(&[NotifyState::Ready])?;
    tokio::spawn(host::make_gadget(Arc::clone(&app)));
    tokio::spawn(host::show_claim_code(Arc::clone(&app)));
    tokio::spawn(host::serve_input(Arc::clone(&app)));
    tokio::spawn(host::watch(Arc::clone(&app)));
    tokio::spawn(host::reset_dongles(Arc::clone(&app), resets));
    if let Some(exchange) = webrtc {
        tokio::spawn(async move { exchange.serve().await });
    }
    tokio::select! {
        () = server.serve(router) => {}
        () = keep_alive() => {}
        // The service manager starts it again.
        () = app.again.notified() => {}
        _ = terminate.recv() => sd_notify::notify(&[NotifyState::Stopping])?,
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "here the clock begins that all rooms are given"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
