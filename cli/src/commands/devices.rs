//! `bakelite devices`

use std::fmt::Write as _;
use std::process::ExitCode;

use flash::device::Places;
use flash::{Device, Devices, Verdict};
use serde::Serialize;

use serde_json::json;

use super::Outcome;
use super::flash::boards::waiting;
use crate::arguments::DevicesArguments;
use crate::command_error::CommandError;
use crate::ui::{Ui, size};

/// A disk and whether it may be written.
#[derive(Serialize)]
struct Entry<'d> {
    #[serde(flatten)]
    device: &'d Device,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(super) fn run(command: &DevicesArguments, ui: &mut Ui) -> Outcome {
    let devices = Devices::scan(&Places::default()).map_err(CommandError::Scan)?;
    let is_shown = |device: &&Device| command.all || device.verdict() == Verdict::Offered;
    let shown: Vec<&Device> = devices.all().iter().filter(is_shown).collect();
    let boards = waiting();
    let mut text = String::new();
    for device in &shown {
        text.push_str(&describe(device));
    }
    for board in &boards {
        let (port, chip) = (&board.port, board.chip);
        writeln!(text, "port {port}  {chip}  waits in USB boot mode: `bakelite usb-boot FOLDER {port}`, or `flash --usb-boot`")
            .expect("strings take everything");
    }
    if shown.is_empty() && boards.is_empty() {
        let left = devices.all().len();
        writeln!(text, "No card or stick is plugged in. {left} other disks are here: `bakelite devices --all` says why each is not offered.")
            .expect("strings take everything");
    }
    let entry = |device| Entry {
        device,
        verdict: device.verdict(),
    };
    let entries: Vec<Entry<'_>> = shown.into_iter().map(entry).collect();
    ui.answer(&text, &json!({ "disks": entries, "boards": boards }));
    Ok(ExitCode::SUCCESS)
}

/// Writes what somebody must know to recognize a disk.
pub(super) fn describe(device: &Device) -> String {
    let mut text = format!(
        "{}  {}  {}",
        device.node.display(),
        size(device.size),
        device.name()
    );
    if let Some(serial) = &device.serial {
        write!(text, "  serial {serial}").expect("strings take everything");
    }
    if let Some(port) = &device.port {
        write!(text, "  port {port}").expect("strings take everything");
    }
    text.push('\n');
    for partition in &device.partitions {
        let label = partition.label.as_deref().unwrap_or("no label");
        let kind = partition.file_system.as_deref().unwrap_or("unknown");
        let (node, size) = (partition.node.display(), size(partition.size));
        writeln!(text, "    {node}  {size}  {label}  ({kind})").expect("strings take everything");
    }
    match device.verdict() {
        Verdict::Offered => {}
        Verdict::Unusual(reason) => text.push_str(&format!("    only with --unusual: {reason}\n")),
        Verdict::Refused(reason) => text.push_str(&format!("    never: {reason}\n")),
    }
    text
}
