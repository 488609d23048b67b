//! Boards in USB boot mode, on their way to a disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use flash::device::Places;
use flash::rpiboot::{BootFiles, Bus as _, Facts, Found, State, UsbBus, boot};
use flash::{Device, Devices};
use serde_json::json;

use super::super::Outcome;
use super::super::devices::describe;
use crate::arguments::flash::UsbBootArguments;
use crate::command_error::CommandError;
use crate::ui::{Ui, size};

/// What boards told of themselves, by port.
pub(super) type Boards = BTreeMap<String, Facts>;

/// Lists boards that wait, for `bakelite devices`. Where USB cannot be used there are none.
pub(crate) fn waiting() -> Vec<Found> {
    let bus = UsbBus::open(Places::default());
    bus.and_then(|mut bus| bus.boards()).unwrap_or_default()
}

/// Takes boards to their disks: those on these ports, or the one that waits. They are taken one after the other.
pub(super) fn take(folder: &Path, ports: &[String], ui: &mut Ui) -> Result<Boards, CommandError> {
    let files = BootFiles::open(folder).map_err(|error| CommandError::Board(error.into()))?;
    let bus = UsbBus::open(Places::default()).map_err(|error| CommandError::Board(error.into()));
    let mut bus = bus?;
    let waiting = bus
        .boards()
        .map_err(|error| CommandError::Board(error.into()))?;
    let ports = match (ports, &waiting[..]) {
        ([], [only]) => vec![only.port.clone()],
        ([], []) => {
            return Err(CommandError::Usage {
                text: "no board waits in USB boot mode: fit its jumper (nRPIBOOT) or hold its button, and plug it in again; one that has booted already must lose its power first".into(),
            });
        }
        ([], several) => {
            let ports: Vec<&str> = several.iter().map(|board| board.port.as_str()).collect();
            let text = format!(
                "several boards wait, on the ports {}: name those you mean",
                ports.join(", ")
            );
            return Err(CommandError::Usage { text });
        }
        (named, _) => named.to_vec(),
    };
    let mut all = Boards::new();
    for port in ports {
        let mut told = |state: State| tell(ui, &port, &state);
        let facts = boot(&mut bus, &port, &files, &mut told).map_err(CommandError::Board)?;
        all.insert(port, facts);
    }
    Ok(all)
}

fn tell(ui: &mut Ui, port: &str, state: &State) {
    let text = match state {
        State::SecondStage => "takes its second stage".into(),
        State::Files => "asks for files".into(),
        State::File(name, Some(length)) => format!("takes {name} ({})", size(*length)),
        State::File(name, None) => format!("asks for {name}, which is not there"),
        State::Away => "starts it".into(),
        State::Disk => "shows its storage".into(),
    };
    let value = json!({ "event": "usb-boot", "port": port, "state": text });
    ui.progress(&format!("port {port} {text}"), &value);
    if !matches!(state, State::File(..) | State::Away) {
        ui.status(&format!("port {port} {text}"));
    }
}

/// `bakelite usb-boot`
pub(crate) fn run(command: &UsbBootArguments, ui: &mut Ui) -> Outcome {
    let boards = take(&command.folder, &command.ports, ui)?;
    let devices = Devices::scan(&Places::default()).map_err(CommandError::Scan)?;
    let is_theirs = |device: &&Device| {
        let port = device.port.as_ref();
        port.is_some_and(|port| boards.contains_key(port)) && device.size > 0
    };
    let disks: Vec<&Device> = devices.all().iter().filter(is_theirs).collect();
    let text: String = disks.iter().map(|device| describe(device)).collect();
    ui.answer(&text, &json!({ "boards": boards, "devices": disks }));
    Ok(ExitCode::SUCCESS)
}
