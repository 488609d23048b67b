//! `bakelite flash-log`

use std::fmt::Write as _;
use std::process::ExitCode;

use flash::Signers;
use flash_record::{FlashRecord, Line, NAMESPACE, Outcome as Ending};
use serde::Serialize;

use super::Outcome;
use crate::arguments::flash::FlashLogArguments;
use crate::command_error::CommandError;
use crate::ui::Ui;

/// A record that was found, and whose signature it bears.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    record: FlashRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
}

pub(super) fn run(command: &FlashLogArguments, ui: &mut Ui) -> Outcome {
    let signers = Signers::load(&command.signed_by).map_err(CommandError::Signers)?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for path in &command.files {
        let text = fs_err::read_to_string(path).map_err(CommandError::io("read the records"))?;
        for line in flash_record::lines(&text) {
            match line {
                Ok(line) if is_sought(command, &line.record) => match signer(&signers, &line) {
                    Ok(signer) => found.push(Entry {
                        record: line.record,
                        signer,
                    }),
                    Err(why) => {
                        let disk = name(&line.record);
                        let began = &line.record.began;
                        problems.push(format!("{}: {disk} of {began}: {why}", path.display()));
                    }
                },
                Ok(_) => {}
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
    }
    let text = if command.csv {
        csv(&found)
    } else {
        table(&found)
    };
    ui.answer(&text, &found);
    if problems.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(CommandError::NotVerified { problems })
    }
}

fn is_sought(command: &FlashLogArguments, record: &FlashRecord) -> bool {
    let serial = command.serial.as_deref();
    let build = record.build.as_ref();
    serial.is_none_or(|sought| record.serials().any(|one| one.starts_with(sought)))
        && command
            .candidate
            .is_none_or(|sought| build.is_some_and(|build| build.candidate == sought))
        && (!command.failed || record.result == Ending::Failed)
}

/// Checks a signature, if somebody asked for that.
fn signer(signers: &Signers, line: &Line) -> Result<Option<String>, String> {
    if signers.is_empty() {
        return Ok(None);
    }
    let (bytes, armoured) = line.signed.as_ref().ok_or("it is not signed")?;
    let signer = signers.verify_ssh(NAMESPACE, bytes.as_bytes(), armoured)?;
    Ok(Some(signer.to_owned()))
}

fn name(record: &FlashRecord) -> &str {
    record
        .device
        .serial
        .as_deref()
        .unwrap_or(&record.device.node)
}

fn ending(record: &FlashRecord) -> &'static str {
    match record.result {
        Ending::Verified => "verified",
        Ending::Written => "written",
        Ending::Failed => "FAILED",
    }
}

fn table(entries: &[Entry]) -> String {
    let mut text = String::new();
    for Entry { record, signer } in entries {
        let build = record.build.as_ref();
        let what = build.map_or_else(
            || record.image.clone(),
            |build| format!("{} {}", build.name, build.version),
        );
        write!(
            text,
            "{}  {:<8}  {}  {what}",
            record.began,
            ending(record),
            name(record)
        )
        .expect("strings take everything");
        let more = [&record.hostname, &record.operator, signer, &record.reason];
        for more in more.into_iter().flatten() {
            write!(text, "  {more}").expect("strings take everything");
        }
        text.push('\n');
    }
    let failed = entries
        .iter()
        .filter(|it| it.record.result == Ending::Failed)
        .count();
    write!(text, "{} records, {failed} failed", entries.len()).expect("strings take everything");
    text
}

const COLUMNS: &str = "began,result,serial,port,vendor,model,bytes,image,sha256,name,version,candidate,hostname,operator,written,read-back,seconds,board,signer,reason";

fn csv(entries: &[Entry]) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for Entry { record, signer } in entries {
        let (device, build) = (&record.device, record.build.as_ref());
        let text_of = |value: Option<&String>| value.cloned().unwrap_or_default();
        let board = record
            .board
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let row = [
            record.began.clone(),
            ending(record).to_ascii_lowercase(),
            text_of(device.serial.as_ref()),
            text_of(device.port.as_ref()),
            text_of(device.vendor.as_ref()),
            text_of(device.model.as_ref()),
            device.size.to_string(),
            record.image.clone(),
            record.sha256.map(|it| it.to_string()).unwrap_or_default(),
            text_of(build.map(|it| &it.name)),
            text_of(build.map(|it| &it.version)),
            build.map(|it| it.candidate.to_string()).unwrap_or_default(),
            text_of(record.hostname.as_ref()),
            text_of(record.operator.as_ref()),
            record.written.to_string(),
            record.read_back.to_string(),
            format!("{:.1}", record.seconds),
            board.collect::<Vec<_>>().join(" "),
            text_of(signer.as_ref()),
            text_of(record.reason.as_ref()),
        ];
        text += &row.map(|value| field(&value)).join(",");
        text.push_str("\r\n");
    }
    text
}

/// Writes a field (RFC 4180). What a spreadsheet would take for a formula is made a text: a card may call itself
/// anything.
fn field(value: &str) -> String {
    let value = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{value}")
    } else {
        value.to_owned()
    };
    if value.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_no_formula() {
        let pairs = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("@x,y", "\"'@x,y\""),
        ];
        for (value, written) in pairs {
            assert_eq!(field(value), written);
        }
    }
}
