//! `bakelite channel`

use std::process::ExitCode;

use jiff::Timestamp;
use release_channel::{Change, Channel, Contents, Keys};
use serde_json::json;
use update_trust::{Held, Said};

use super::Outcome;
use crate::arguments::update::{
    ChannelArguments, ChannelCommand, PruneArguments, ReleaseArguments,
};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn run(command: &ChannelCommand, ui: &mut Ui) -> Outcome {
    match command {
        ChannelCommand::Show(arguments) => show(arguments, ui),
        ChannelCommand::Pause(arguments) => change(arguments, Change::Pause, ui),
        ChannelCommand::Resume(arguments) => change(arguments, Change::Resume, ui),
        ChannelCommand::Halt(arguments) => change(arguments, Change::Halt, ui),
        ChannelCommand::Yank(arguments) => change(arguments, Change::Yank, ui),
        ChannelCommand::Renew(arguments) => {
            let (channel, keys) = open(arguments)?;
            let contents = channel.renew(&keys, now()).map_err(CommandError::Channel)?;
            tell(&contents, ui);
            Ok(ExitCode::SUCCESS)
        }
        ChannelCommand::Prune(arguments) => prune(arguments, ui),
    }
}

fn open(arguments: &ChannelArguments) -> Result<(Channel, Keys), CommandError> {
    let keys = arguments.keys.read()?;
    Ok((arguments.store.channel(&arguments.channel)?, keys))
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn show(arguments: &ChannelArguments, ui: &mut Ui) -> Outcome {
    let (channel, keys) = open(arguments)?;
    let contents = channel
        .contents(&keys, now())
        .map_err(CommandError::Channel)?;
    let empty = || CommandError::Usage {
        text: format!(
            "{} is no channel yet: `bakelite publish` makes one",
            arguments.channel
        ),
    };
    tell(&contents.ok_or_else(empty)?, ui);
    Ok(ExitCode::SUCCESS)
}

fn change(arguments: &ReleaseArguments, change: Change, ui: &mut Ui) -> Outcome {
    let (channel, keys) = open(&arguments.channel)?;
    let changed = channel.change(&keys, &arguments.version, change, now());
    tell(&changed.map_err(CommandError::Channel)?, ui);
    Ok(ExitCode::SUCCESS)
}

fn prune(arguments: &PruneArguments, ui: &mut Ui) -> Outcome {
    let (channel, keys) = open(&arguments.channel)?;
    let gone = channel.prune(&keys, arguments.keep, now());
    let gone = gone.map_err(CommandError::Channel)?;
    let text = if gone.is_empty() {
        "there was nothing to take away".to_owned()
    } else {
        format!("{} files are gone:\n  {}", gone.len(), gone.join("\n  "))
    };
    ui.answer(&text, &json!({ "gone": gone }));
    Ok(ExitCode::SUCCESS)
}

fn tell(contents: &Contents, ui: &mut Ui) {
    let now = u64::try_from(now()).unwrap_or(0);
    let mut text = format!("metadata version {}", contents.version);
    if let Some(expired) = &contents.expired {
        text += &format!(
            "\nits {} has expired, and devices take nothing: `bakelite channel renew`",
            expired.role
        );
    }
    for (_, said) in &contents.releases {
        text += &format!(
            "\n  {} {}  {}  {} MiB",
            said.product,
            said.version,
            standing(said, now),
            said.length >> 20
        );
    }
    let releases: Vec<_> = contents
        .releases
        .iter()
        .map(|(digest, said)| {
            json!({
                "manifest": digest, "release": said,
                "share": said.wave.as_ref().map_or(10_000, |wave| wave.share(now)),
            })
        })
        .collect();
    let expired = contents.expired.as_ref().map(|expired| expired.role);
    let answer =
        json!({ "metadata-version": contents.version, "expired": expired, "releases": releases });
    ui.answer(&text, &answer);
}

/// Says who gets a release.
fn standing(said: &Said, now: u64) -> String {
    match (said.held, &said.wave) {
        (Held::Halted, _) => "halted: nobody begins to install it".into(),
        (Held::Yanked, _) => "taken back: devices leave it".into(),
        (Held::No, None) => "for everybody".into(),
        (Held::No, Some(wave)) => {
            let share = wave.share(now);
            let percent = format!("{}.{:02} %", share / 100, share % 100);
            match (share, wave.paused) {
                (10_000, _) => "for everybody".into(),
                (_, Some(_)) => format!("stands still at {percent} of devices"),
                (_, None) => format!("has reached {percent} of devices"),
            }
        }
    }
}
