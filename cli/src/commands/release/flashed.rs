//! Flash records as evidence: that a test device ran this candidate, and no other.

use std::path::Path;

use content_digest::Sha256Digest;
use flash_record::{FlashRecord, NAMESPACE, Outcome};

use super::context::Context;
use crate::command_error::CommandError;

fn usage(text: String) -> CommandError {
    CommandError::Usage { text }
}

/// Checks a file that may hold flash records: the newest one of the device must say that this candidate was
/// written to it whole. Returns the device's serial number. Other files are not looked into.
pub(super) fn check(
    context: &Context,
    file: &Path,
    candidate: &Sha256Digest,
    serial: Option<&str>,
) -> Result<Option<String>, CommandError> {
    let is_log = file
        .extension()
        .is_some_and(|it| it == "jsonl" || it == "json");
    let Some(text) = fs_err::read_to_string(file).ok().filter(|_| is_log) else {
        return Ok(None);
    };
    let lines: Vec<_> = flash_record::lines(&text).collect();
    if !lines.iter().any(Result::is_ok) {
        // Some other JSON.
        return Ok(None);
    }
    let name = file.display();
    let is_sought = |record: &FlashRecord| {
        serial.is_none_or(|serial| record.serials().any(|one| one == serial))
    };
    let mut good = lines
        .into_iter()
        .flatten()
        .filter(|line| is_sought(&line.record));
    let Some(line) = good.next_back() else {
        let serial = serial.unwrap_or_default();
        return Err(usage(format!("{name} has no record of a device {serial}")));
    };
    let record = &line.record;
    let (result, began) = (record.result, &record.began);
    match record.build.as_ref().map(|build| build.candidate) {
        Some(found) if found == *candidate => {}
        Some(found) => {
            return Err(usage(format!(
                "{name} says that candidate {} was written at {began}, and this release is about {}: write the device anew",
                found.short(),
                candidate.short()
            )));
        }
        None => {
            return Err(usage(format!(
                "{name} does not say which candidate was written at {began}: write the device from the folder of the build"
            )));
        }
    }
    if result != Outcome::Verified {
        let why = record.reason.as_deref().unwrap_or("it was not read back");
        return Err(usage(format!(
            "{name}: the device was not verified at {began}: {why}"
        )));
    }
    if let Some((bytes, armoured)) = &line.signed {
        let signers = context.template().signers();
        let holds = |person: &&str| {
            signers
                .verify(person, NAMESPACE, bytes.as_bytes(), armoured)
                .is_ok()
        };
        if signers.names().find(holds).is_none() {
            return Err(CommandError::NotVerified {
                problems: vec![format!(
                    "{name}: the record of {began} is signed by nobody of the release's people, or was changed"
                )],
            });
        }
    }
    Ok(record.serials().next().map(str::to_owned))
}
