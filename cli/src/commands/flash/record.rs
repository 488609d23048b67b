//! What became of each disk: for people, and for the manufacturing log.

use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use flash::write::{Failure, Written};
use flash::{Device, Package};
use flash_record::{FlashRecord, NAMESPACE, Outcome, RecordedBuild, RecordedDevice, SCHEMA, Sign};
use image_builder::worker::chain;
use release::journal::{SignatureError, Signer as _, SshKeygen};

use super::boards::Boards;
use crate::arguments::flash::RecordArguments;
use crate::command_error::CommandError;

/// When it was, and how.
pub(super) struct Circumstances<'c> {
    pub(super) package: &'c Package,
    pub(super) began: jiff::Timestamp,
    pub(super) seconds: f64,
    pub(super) reads_back: bool,
    pub(super) uses_map: bool,
    pub(super) operator: Option<&'c str>,
    pub(super) boards: &'c Boards,
}

/// Writes down how it ended.
pub(super) fn of(
    device: &Device,
    hostname: Option<&String>,
    outcome: &Result<Written, Failure>,
    of: &Circumstances<'_>,
) -> FlashRecord {
    let package = of.package;
    let done = outcome.as_ref().ok();
    let image = package.path.file_name().unwrap_or_default();
    let build = package.build.as_ref();
    let board = device.port.as_ref().and_then(|port| of.boards.get(port));
    FlashRecord {
        schema: SCHEMA,
        tool: concat!("bakelite ", env!("CARGO_PKG_VERSION")).into(),
        image: image.to_string_lossy().into_owned(),
        sha256: package.digest.get().copied(),
        bmap_sha256: package.map_digest.filter(|_| of.uses_map),
        build: build.map(|build| RecordedBuild {
            name: build.name.clone(),
            version: build.version.clone(),
            candidate: build.candidate,
        }),
        signed_by: package.signed_by.clone(),
        device: RecordedDevice {
            node: device.node.to_string_lossy().into_owned(),
            size: device.size,
            vendor: device.vendor.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
            port: device.port.clone(),
            bus: device.bus.as_str().into(),
        },
        board: board.cloned().unwrap_or_default(),
        hostname: hostname.cloned(),
        operator: of.operator.map(str::to_owned),
        began: of.began.to_string(),
        seconds: of.seconds,
        written: done.map_or(0, |done| done.bytes),
        read_back: done.map_or(0, |done| done.read_back),
        result: match outcome {
            Ok(_) if of.reads_back => Outcome::Verified,
            Ok(_) => Outcome::Written,
            Err(_) => Outcome::Failed,
        },
        reason: outcome.as_ref().err().map(|error| chain(error).join(": ")),
    }
}

/// Says it to people: what was done, or what went wrong and what helps.
pub(super) fn sentence(record: &FlashRecord, failure: Option<&Failure>) -> String {
    let mut text = format!("{}: ", record.device.node);
    match (record.result, &record.reason) {
        (Outcome::Verified, _) => text.push_str("written and read back"),
        (_, Some(reason)) => {
            let advice = failure.map_or("", advice);
            write!(text, "{reason}. It does not boot. {advice}").expect("strings take everything");
        }
        _ => text.push_str("written, not read back"),
    }
    text
}

/// What somebody can do about a disk that failed.
fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::Differs { .. } => {
            "Most often the card is counterfeit (smaller than it says) or worn out; try another reader as well."
        }
        Failure::Disk { .. } => "Plug it in again, or try another reader, port or card.",
        Failure::Size { .. } => "Take a larger card.",
        Failure::Image(_) => "Download or build the image again.",
    }
}

/// Adds a line for each to a file, in one write.
pub(super) fn append(
    arguments: &RecordArguments,
    records: &[FlashRecord],
) -> Result<(), CommandError> {
    let Some(path) = &arguments.record else {
        return Ok(());
    };
    let signer = arguments.sign_record.clone().map(|key| SshKeygen { key });
    let sign = |bytes: &[u8]| match &signer {
        Some(signer) => signer.sign(NAMESPACE, bytes),
        None => unreachable!("only asked where there is one"),
    };
    let sign: Option<Sign<'_, SignatureError>> = signer.as_ref().map(|_| &sign as Sign<'_, _>);
    let mut lines = String::new();
    for record in records {
        lines += &flash_record::write(record, sign).map_err(CommandError::SignRecord)?;
    }
    add(path, &lines).map_err(CommandError::io("write the record"))
}

fn add(path: &Path, lines: &str) -> std::io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let mut file = options.create(true).read(true).append(true).open(path)?;
    // A line that a power cut left half written stays one line.
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{begin}{lines}").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        add(&path, "one\n").unwrap();
        fs_err::write(&path, "one\nhal").unwrap();
        add(&path, "two\n").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "one\nhal\ntwo\n");
    }
}
