//! `bakelite device`: the updates of a device, from another computer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_client::{Device, DeviceError, Fingerprint, Token};
use agent_update::protocol::{Doing, View, When};
use serde_json::json;

use super::Outcome;
use crate::arguments::device::{DeviceArguments, DeviceCommand, InstallArguments};
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

/// How often it is asked how it goes.
const OFTEN: Duration = Duration::from_millis(700);
/// A device that restarts is back by then, or something is wrong with it or with the network.
const AWAY: Duration = Duration::from_mins(10);

pub(super) fn run(command: &DeviceCommand, ui: &mut Ui) -> Outcome {
    match command {
        DeviceCommand::Status(arguments) => {
            let device = open(arguments)?;
            tell(&device.view().map_err(CommandError::Device)?, ui);
        }
        DeviceCommand::Look(arguments) => {
            let device = open(arguments)?;
            tell(&look(&device, ui)?, ui);
        }
        DeviceCommand::Plan(arguments) => {
            let device = open(arguments)?;
            look(&device, ui)?;
            tell(&follow(&device, device.plan(), ui)?, ui);
        }
        DeviceCommand::Install(arguments) => return install(arguments, ui),
        DeviceCommand::Stop(arguments) => {
            let device = open(arguments)?;
            device.stop().map_err(CommandError::Device)?;
            tell(&device.view().map_err(CommandError::Device)?, ui);
        }
        DeviceCommand::Back(arguments) => {
            let device = open(arguments)?;
            return until_kept(&device, device.back(), ui);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn install(arguments: &InstallArguments, ui: &mut Ui) -> Outcome {
    let device = open(&arguments.device)?;
    if let Some(file) = &arguments.file {
        let begun = device.install_file(file, &mut |at, size| {
            ui.status(&format!("  {} % sent", at * 100 / size.max(1)));
        });
        return until_kept(&device, begun, ui);
    }
    let view = look(&device, ui)?;
    let newest = || refused(&device, format!("version {} is the newest", view.version));
    let offer = view.offer.as_ref().ok_or_else(newest)?;
    let when = if arguments.at_night {
        When::Night
    } else {
        When::Now
    };
    let begun = device.install(&offer.version, when);
    if arguments.at_night {
        tell(&begun.map_err(CommandError::Device)?, ui);
        return Ok(ExitCode::SUCCESS);
    }
    until_kept(&device, begun, ui)
}

/// Opens a device whose certificate is known, or is now.
fn open(arguments: &DeviceArguments) -> Result<Device, CommandError> {
    let known = environment::known_devices()?;
    let token = match &arguments.token_file {
        Some(path) => fs_err::read_to_string(path).map_err(CommandError::io("read the token"))?,
        None => environment::secret("BAKELITE_TOKEN").ok_or_else(|| CommandError::Usage {
            text: "no token: make one on the device's page (People), and set BAKELITE_TOKEN or --token-file".into(),
        })?,
    };
    let fingerprint = match arguments.fingerprint {
        Some(fingerprint) => Some(fingerprint),
        None => find(&known, &arguments.host)?,
    };
    let device = Device::new(&arguments.host, Token::new(&token), fingerprint)
        .map_err(std::io::Error::other)
        .map_err(CommandError::io("prepare the connection"))?;
    match device.view() {
        Err(DeviceError::Unknown { host, shown }) => {
            return Err(CommandError::Usage {
                text: format!(
                    "{host} is not known yet. It shows a certificate with the fingerprint\n  {shown}\n\
                     If the device's console shows the same, say so once: --fingerprint {shown}"
                ),
            });
        }
        Err(error) if !error.may_pass() => return Err(CommandError::Device(error)),
        _ => {}
    }
    if let Some(fingerprint) = arguments.fingerprint {
        remember(&known, &arguments.host, fingerprint)?;
    }
    Ok(device)
}

fn find(known: &Path, host: &str) -> Result<Option<Fingerprint>, CommandError> {
    let text = match fs_err::read_to_string(known) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(CommandError::io("read which devices are known"))?,
    };
    // The last line counts: a device may have been set up anew.
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(host)?.strip_prefix(' '));
    let bad = |_| CommandError::Usage {
        text: format!("{}: the line of {host} has no fingerprint", known.display()),
    };
    line.map(|line| line.parse().map_err(bad)).transpose()
}

fn remember(known: &PathBuf, host: &str, fingerprint: Fingerprint) -> Result<(), CommandError> {
    if find(known, host)? == Some(fingerprint) {
        return Ok(());
    }
    let write = || {
        fs_err::create_dir_all(known.parent().unwrap_or(known))?;
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(known)?;
        std::io::Write::write_all(&mut file, format!("{host} {fingerprint}\n").as_bytes())
    };
    write().map_err(CommandError::io("remember the device"))
}

/// The command line was right, and the device did not do it.
fn refused(device: &Device, message: String) -> CommandError {
    CommandError::Device(DeviceError::Problem {
        host: device.host().to_owned(),
        message,
    })
}

fn look(device: &Device, ui: &mut Ui) -> Result<View, CommandError> {
    follow(device, device.look(), ui)
}

/// Tells how it goes until it is over.
fn follow(
    device: &Device,
    begun: Result<View, DeviceError>,
    ui: &mut Ui,
) -> Result<View, CommandError> {
    let mut view = begun.map_err(CommandError::Device)?;
    let mut last = u64::MAX;
    while let Doing::Look | Doing::Plan | Doing::Install { .. } = view.doing {
        if let Doing::Install { done, total, .. } = view.doing {
            let percent = done * 100 / total.max(1);
            if percent / 10 != last {
                last = percent / 10;
                ui.status(&format!("  {percent} % are right"));
            }
        }
        std::thread::sleep(OFTEN);
        view = device.view().map_err(CommandError::Device)?;
    }
    match &view.problem {
        Some(problem) => Err(refused(device, problem.clone())),
        None => Ok(view),
    }
}

const FORGOTTEN: &str = "it does not know the token any more: it was revoked, or the version that runs has settings from before the token was made. The update goes on; the device's page says how it ends";

/// Waits over the restart and the trial, and says how it ended.
fn until_kept(device: &Device, begun: Result<View, DeviceError>, ui: &mut Ui) -> Outcome {
    let before = begun.map_err(CommandError::Device)?;
    let (mut answered, mut said) = (Instant::now(), String::new());
    let mut is_begun = false;
    loop {
        let view = match device.view() {
            Ok(view) => view,
            Err(error) if error.may_pass() && answered.elapsed() < AWAY => {
                say_once(&mut said, "  it restarts", ui);
                std::thread::sleep(OFTEN);
                continue;
            }
            // It knew the token a moment ago.
            Err(DeviceError::Refused { status: 401, .. }) => {
                return Err(refused(device, FORGOTTEN.into()));
            }
            Err(error) => return Err(CommandError::Device(error)),
        };
        answered = Instant::now();
        is_begun |= !matches!(view.doing, Doing::Rest);
        match &view.doing {
            Doing::Install { done, total, .. } => {
                let tenth = done * 10 / total.max(&1);
                say_once(&mut said, &format!("  {tenth}0 % are right"), ui);
            }
            Doing::Wait { .. } => say_once(
                &mut said,
                "  it is written, and tried at the next start",
                ui,
            ),
            Doing::Trial { version, .. } => {
                say_once(&mut said, &format!("  version {version} is on trial"), ui);
            }
            Doing::Rest if view.problem.is_some() || is_begun || view.outcome != before.outcome => {
                tell(&view, ui);
                let is_kept = view.outcome.as_ref().is_some_and(|ended| ended.is_kept);
                let went_well = view.problem.is_none() && is_kept;
                return Ok(if went_well {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                });
            }
            _ => {}
        }
        std::thread::sleep(OFTEN);
    }
}

fn say_once(last: &mut String, text: &str, ui: &mut Ui) {
    if last != text {
        text.clone_into(last);
        ui.status(text);
    }
}

fn tell(view: &View, ui: &mut Ui) {
    let mut text = format!("version {} runs, in slot {}", view.version, view.slot);
    let mut line = |what: String| write!(text, "\n  {what}").expect("strings take everything");
    match &view.offer {
        Some(offer) => {
            let later = if offer.is_due {
                ""
            } else {
                "; it comes by itself later"
            };
            line(format!("version {} is new{later}", offer.version));
        }
        None if view.looked.is_some() => line("nothing is newer".into()),
        None => line("it was not looked yet what is new".into()),
    }
    if let Some(plan) = &view.plan {
        line(format!(
            "version {}: {} KiB to fetch, {} KiB to write",
            plan.version,
            plan.fetch >> 10,
            plan.write >> 10
        ));
    }
    if let Some(version) = &view.at_night {
        line(format!("version {version} is installed the next night"));
    }
    if let Some(ended) = &view.outcome {
        let kept = if ended.is_kept {
            "was kept"
        } else {
            "was not kept"
        };
        line(format!(
            "version {} {kept}: {}",
            ended.version, ended.reason
        ));
    }
    if let Some(before) = &view.before {
        line(format!("version {before} is in the other slot still"));
    }
    if let Some(problem) = &view.problem {
        line(format!("problem: {problem}"));
    }
    ui.answer(&text, &json!(view));
}
