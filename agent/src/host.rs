//! Watches the machine on the other end of the cable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_api::App;
use agent_api::failure::chain;
use agent_helper::gadget::HostWatch;
use agent_helper::protocol::ClaimText;
use agent_helper::usb::UsbPlace;
use agent_helper::{GadgetState, Request};
use agent_input::input::Nodes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::run::say;

/// How often the kernel is asked how the host is.
const LOOK: Duration = Duration::from_secs(1);
/// Pause before the gadget is tried again: a controller may still be on its way.
const AGAIN: Duration = Duration::from_secs(5);

/// Makes the gadget at the start, for as long as it takes.
pub(crate) async fn make_gadget(app: Arc<App>) {
    loop {
        let profile = app.settings.borrow().profile;
        let made = app
            .parts
            .helper
            .gadget(&Request::UseProfile { profile })
            .await;
        let is_made = made.is_ok();
        app.set_gadget(made.map_err(|error| chain(&error)));
        if is_made {
            return;
        }
        tokio::time::sleep(AGAIN).await;
        if app.live.borrow().gadget.is_some() {
            return;
        }
    }
}

/// Shows the claim code on the boot partition until somebody owns the device.
pub(crate) async fn show_claim_code(app: Arc<App>) {
    let code = app.parts.claim.for_console().to_owned();
    loop {
        let request = match ClaimText::try_from(code.clone()) {
            Ok(code) if !app.parts.access.is_claimed() => Request::ShowClaimCode { code },
            _ => Request::HideClaimCode {},
        };
        let is_owned = matches!(request, Request::HideClaimCode {});
        if app.parts.helper.ask(&request).await.is_ok() && is_owned {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Keeps the input room writing to the gadget that there is now.
pub(crate) async fn serve_input(app: Arc<App>) {
    let mut live = app.live.subscribe();
    let mut served: Option<(GadgetState, JoinHandle<()>)> = None;
    loop {
        let gadget = live.borrow_and_update().gadget.clone();
        if gadget.as_ref() != served.as_ref().map(|served| &served.0) {
            if let Some((_, task)) = served.take() {
                task.abort();
            }
            served = gadget.map(|gadget| {
                let (nodes, input) = (nodes(&gadget), Arc::clone(&app.parts.input));
                let task = tokio::spawn(async move { input.serve(&nodes).await });
                (gadget, task)
            });
        }
        if live.changed().await.is_err() {
            return;
        }
    }
}

/// Has dongles reset that the capture could not wake in another way.
pub(crate) async fn reset_dongles(app: Arc<App>, mut silent: mpsc::Receiver<String>) {
    while let Some(bus) = silent.recv().await {
        // A device that is on no USB bus has no port to be reset.
        let Ok(place) = UsbPlace::try_from(bus) else {
            continue;
        };
        if let Err(error) = app.parts.helper.ask(&Request::ResetUsb { place }).await {
            say(&format!("error: {}", chain(&error)));
        }
    }
}

fn nodes(gadget: &GadgetState) -> Nodes {
    // What the profile lacks is a node that never opens.
    let node = |name: &Option<String>| match name {
        Some(name) => Path::new("/dev").join(name),
        None => Path::new("/dev/bakelite-none").into(),
    };
    Nodes {
        keyboard: node(&gadget.keyboard),
        absolute: node(&gadget.absolute_mouse),
        relative: node(&gadget.relative_mouse),
    }
}

/// Looks how the host is, and has everything written anew when it came back.
pub(crate) async fn watch(app: Arc<App>) {
    let mut leds = app.parts.input.leds();
    let mut video = app.parts.video.state();
    let mut ticks = tokio::time::interval(LOOK);
    let mut looks = HostWatch::new(app.parts.places.clone());
    let mut host = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = looks.state();
                if now != host {
                    if now.as_deref() == Some("configured") {
                        app.parts.input.host_lost();
                    }
                    app.change(|live| live.host.clone_from(&now));
                    host = now;
                }
                app.look_at_drive();
                app.look_at_power();
                let seconds = app.settings.borrow().jiggle_after;
                if seconds > 0 && app.parts.input.is_jiggle_due(Duration::from_secs(seconds)) {
                    app.parts.input.jiggle();
                }
                app.with_control(|control| control.grant_unanswered(std::time::Instant::now()));
            }
            _ = video.changed() => app.set_video(&video.borrow_and_update().clone()),
            _ = leds.changed() => app.set_leds(*leds.borrow_and_update()),
        }
    }
}
