//! Which disks are written, and that somebody means it.

use std::io::{BufRead as _, IsTerminal as _};

use flash::{Device, Devices, Verdict};

use super::boards::Boards;
use crate::arguments::flash::FlashArguments;
use crate::command_error::CommandError;
use crate::ui::Ui;

fn usage(text: impl Into<String>) -> CommandError {
    CommandError::Usage { text: text.into() }
}

/// Finds the disks that are named, or those that production allows.
pub(super) fn choose<'d>(
    command: &FlashArguments,
    devices: &'d Devices,
    boards: &Boards,
) -> Result<Vec<&'d Device>, CommandError> {
    if !boards.is_empty() {
        return of_boards(command, devices, boards);
    }
    let is_allowed = |device: &Device| {
        let facts = [&device.serial, &device.port];
        facts
            .into_iter()
            .flatten()
            .any(|fact| command.only.contains(fact))
    };
    let mut chosen: Vec<&Device> = Vec::new();
    for node in &command.devices {
        let found = devices.find(node).ok_or_else(|| {
            let name = node.display();
            match devices.disk_of_partition(node) {
                Some(disk) => usage(format!(
                    "{name} is a partition: name its disk, {}",
                    disk.node.display()
                )),
                None => usage(format!(
                    "{name} is no disk of this machine: `bakelite devices` lists them"
                )),
            }
        })?;
        if chosen.iter().any(|one| one.number == found.number) {
            return Err(usage(format!("{} is named twice", node.display())));
        }
        match found.verdict() {
            Verdict::Unusual(reason) if !command.unusual => {
                return Err(usage(format!(
                    "{}: {reason}. If you mean it, add --unusual",
                    node.display()
                )));
            }
            Verdict::Refused(reason) => {
                return Err(usage(format!(
                    "{} is never written: {reason}",
                    node.display()
                )));
            }
            Verdict::Offered | Verdict::Unusual(_) => chosen.push(found),
        }
        if !command.only.is_empty() && !is_allowed(found) {
            let name = node.display();
            return Err(usage(format!(
                "{name} has neither a serial number nor a port that --only names"
            )));
        }
    }
    if command.devices.is_empty() {
        let offered = devices
            .all()
            .iter()
            .filter(|device| device.verdict() == Verdict::Offered);
        chosen = offered.filter(|device| is_allowed(device)).collect();
        if command.only.is_empty() {
            return Err(usage(
                "name the disks to write: `bakelite devices` lists them",
            ));
        }
        if chosen.is_empty() {
            return Err(usage(
                "no card or stick has a serial number or a port that --only names",
            ));
        }
    }
    Ok(chosen)
}

/// Finds what boards that were in USB boot mode show now: all that is at their ports.
fn of_boards<'d>(
    command: &FlashArguments,
    devices: &'d Devices,
    boards: &Boards,
) -> Result<Vec<&'d Device>, CommandError> {
    if !command.devices.is_empty() {
        return Err(usage(
            "with --usb-boot the disks are those of the boards: name ports with --only",
        ));
    }
    let all = devices.all().iter();
    let chosen: Vec<&Device> = all
        .filter(|device| {
            let port = device.port.as_ref();
            port.is_some_and(|port| boards.contains_key(port)) && device.size > 0
        })
        .collect();
    for port in boards.keys() {
        let mut theirs = chosen
            .iter()
            .filter(|device| device.port.as_ref() == Some(port));
        match (theirs.next(), theirs.next()) {
            (None, _) => return Err(usage(format!("the board on port {port} shows no storage"))),
            (Some(_), Some(_)) => {
                return Err(usage(format!(
                    "the board on port {port} shows several disks: name the one that you mean, without --usb-boot"
                )));
            }
            (Some(one), None) => {
                if let Verdict::Refused(reason) = one.verdict() {
                    let name = one.node.display();
                    return Err(usage(format!("{name} is never written: {reason}")));
                }
            }
        }
    }
    Ok(chosen)
}

/// Asks. Nothing is the answer of somebody who does not read.
pub(super) fn confirm(
    command: &FlashArguments,
    chosen: &[&Device],
    ui: &mut Ui,
) -> Result<(), CommandError> {
    if command.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(usage(
            "nobody is there to be asked: add --yes, and --only with the ports or serial numbers that you mean",
        ));
    }
    let unusual = chosen
        .iter()
        .find(|device| device.verdict() != Verdict::Offered);
    let (question, expected) = match unusual.and_then(|device| device.serial.as_deref()) {
        Some(serial) => (
            "This is no card. Type its serial number to overwrite it: ",
            serial,
        ),
        None => (
            "Everything on it is lost. Type yes to overwrite it: ",
            "yes",
        ),
    };
    ui.ask(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(CommandError::io("read the answer"))?;
    if answer.trim() == expected {
        Ok(())
    } else {
        Err(usage("nothing was written"))
    }
}
