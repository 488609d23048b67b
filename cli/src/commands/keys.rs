//! `bakelite keys`

use std::process::ExitCode;

use jiff::Timestamp;
use release_channel::{Keys, KeysError, Next};
use serde_json::json;
use update_trust::RootFacts;

use super::Outcome;
use crate::arguments::update::{KeysArguments, KeysCommand};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn run(command: &KeysCommand, ui: &mut Ui) -> Outcome {
    let now = Timestamp::now().as_second();
    match command {
        KeysCommand::Init(arguments) => init(arguments, now, ui),
        KeysCommand::Show(arguments) => show(arguments, ui),
        KeysCommand::Rotate(arguments) => change(arguments, ui, |keys| keys.rotate(now)),
        KeysCommand::Add(command) => change(&command.keys, ui, |keys| {
            keys.add(command.public.as_deref(), command.threshold, now)
        }),
        KeysCommand::Revoke(command) => {
            change(&command.keys, ui, |keys| keys.revoke(&command.id, now))
        }
        KeysCommand::Sign(arguments) => change(arguments, ui, Keys::sign_waiting),
    }
}

fn init(arguments: &KeysArguments, now: i64, ui: &mut Ui) -> Outcome {
    let folder = &arguments.keys;
    let keys = Keys::init(folder, now).map_err(CommandError::Keys)?;
    let facts = keys.facts().map_err(CommandError::Keys)?;
    let id = facts.keys.first().map(update_trust::Key::id);
    let text = format!(
        "{0}/1.root.json is what devices are made with: commit it\n\
         {0}/private/update.key signs updates: keep a copy where nothing burns, and show it to nobody\n  key {1}",
        folder.display(),
        id.as_deref().unwrap_or_default()
    );
    ui.answer(&text, &json!({ "keys": folder, "id": id }));
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &KeysArguments, ui: &mut Ui) -> Outcome {
    let keys = arguments.read()?;
    let facts = keys.facts().map_err(CommandError::Keys)?;
    let here = keys.here().map_err(CommandError::Keys)?;
    ui.answer(&describe(&facts, &here), &answer(&facts, &here, true));
    Ok(ExitCode::SUCCESS)
}

/// Makes the next root, and says what is to be done then.
fn change(
    arguments: &KeysArguments,
    ui: &mut Ui,
    change: impl FnOnce(&Keys) -> Result<Next, KeysError>,
) -> Outcome {
    let keys = arguments.read()?;
    let Next { facts, is_whole } = change(&keys).map_err(CommandError::Keys)?;
    let here = keys.here().map_err(CommandError::Keys)?;
    let folder = arguments.keys.display();
    let what = if is_whole {
        format!(
            "{folder}/{}.root.json is signed: commit it, and run `bakelite channel renew` for each channel.\n\
             Devices follow when they look next; images are made with it from now on.",
            facts.version
        )
    } else {
        format!(
            "{folder}/root.waiting.json needs signatures of more keys: commit it, and run `bakelite keys sign` where those are.\n\
             Until then all stays as it was."
        )
    };
    let text = format!("{}\n{what}", describe(&facts, &here));
    ui.answer(&text, &answer(&facts, &here, is_whole));
    Ok(ExitCode::SUCCESS)
}

fn describe(facts: &RootFacts, here: &[String]) -> String {
    let mut text = format!(
        "root {}, until {}; {} of {} must sign the next",
        facts.version,
        facts.expires,
        facts.threshold,
        facts.keys.len()
    );
    for key in &facts.keys {
        let id = key.id();
        let place = if here.contains(&id) {
            "  can sign here"
        } else {
            ""
        };
        text.push_str(&format!("\n  key {id}{place}"));
    }
    text
}

fn answer(facts: &RootFacts, here: &[String], is_whole: bool) -> serde_json::Value {
    let keys: Vec<String> = facts.keys.iter().map(update_trust::Key::id).collect();
    json!({ "root": facts.version, "expires": facts.expires, "threshold": facts.threshold, "keys": keys, "here": here,
        "is-signed": is_whole })
}
