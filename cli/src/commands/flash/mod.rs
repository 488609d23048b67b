//! `bakelite flash`

mod choose;
mod progress;
mod record;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use flash::device::Places;
use flash::write::{BlockDevice, Capacity, Disk, Plan, Settings, Spread, probe, run as write};
use flash::{Device, Devices, Package};

use self::record::{Circumstances, Record};
use super::Outcome;
use super::devices::describe;
use crate::arguments::FlashArguments;
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::{Ui, size};

pub(super) fn run(command: &FlashArguments, ui: &mut Ui) -> Outcome {
    let places = Places::default();
    let threads = std::thread::available_parallelism()
        .map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    ui.status(&format!("Checking {}", command.image.display()));
    let package = Package::open(&command.image, threads).map_err(CommandError::Package)?;
    let devices = Devices::scan(&places).map_err(CommandError::Scan)?;
    let chosen = choose::choose(command, &devices)?;
    let what: String = chosen.iter().map(|device| describe(device)).collect();
    ui.status(&format!("{}\n{what}", summary(&package)));
    choose::confirm(command, &chosen)?;
    // Chosen by what they were when they were shown; opened only if they still are.
    let open = |device: &&Device| Disk::open(device, command.unusual, &places);
    let disks: Vec<Disk> = chosen
        .iter()
        .map(open)
        .collect::<Result<_, _>>()
        .map_err(CommandError::Disk)?;
    if command.probe_capacity {
        probe_all(ui, &chosen, &disks)?;
    }
    let plan = Plan {
        size: package.size,
        map: package.map.clone().filter(|_| !command.no_bmap),
        reads_back: !command.no_verify,
        is_checked: package.build.is_some(),
    };
    let spread: Vec<Spread<'_>> = disks
        .iter()
        .map(|disk| Spread {
            disk: disk as &dyn BlockDevice,
            report: Arc::default(),
        })
        .collect();
    let (began, clock) = (jiff::Timestamp::now(), Instant::now());
    let settings = Settings::of(plan);
    let total = settings
        .plan
        .map
        .as_ref()
        .map(|map| map.image_size)
        .or(package.size);
    let outcomes = std::thread::scope(|scope| {
        let (over, is_over) = std::sync::mpsc::channel();
        let (source, settings, spread) = (&package.source, &settings, &spread);
        let writing = scope.spawn(move || {
            // Dropped at the end, whatever it is.
            let _over = over;
            write(source, settings, spread)
        });
        progress::show(ui, &chosen, spread, total, &is_over);
        writing.join()
    });
    let outcomes = outcomes.map_err(|_panic| CommandError::Usage {
        text: "writing ended unexpectedly".into(),
    })?;
    let circumstances = Circumstances {
        package: &package,
        began,
        seconds: clock.elapsed().as_secs_f64(),
        reads_back: settings.plan.reads_back,
    };
    let mut records = Vec::new();
    for (device, outcome) in chosen.iter().zip(&outcomes) {
        records.push(Record::new(device, outcome, &circumstances));
    }
    if let Some(path) = &command.record {
        record::append(path, &records).map_err(CommandError::io("write the record"))?;
    }
    let (mut text, mut failed) = (String::new(), Vec::new());
    for (record, outcome) in records.iter().zip(&outcomes) {
        let sentence = record.sentence(outcome.as_ref().err());
        if outcome.is_ok() {
            writeln!(text, "{sentence}").expect("strings take everything");
        } else {
            failed.push(sentence);
        }
    }
    writeln!(text, "{:.1} s", circumstances.seconds).expect("strings take everything");
    ui.answer(&text, &records);
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(CommandError::NotVerified { problems: failed })
    }
}

/// Looks whether each disk stores as much as it says.
fn probe_all(ui: &mut Ui, chosen: &[&Device], disks: &[Disk]) -> Result<(), CommandError> {
    let random = environment::random();
    let nonce = u64::from_le_bytes(*random.first_chunk().expect("it is longer"));
    let mut problems = Vec::new();
    for (device, disk) in chosen.iter().zip(disks) {
        let node = device.node.display();
        ui.status(&format!("Looking whether {node} stores what it says"));
        match probe(disk, nonce) {
            Ok(Capacity::Whole) => {}
            Ok(Capacity::Less { at_least, .. }) => problems.push(format!(
                "{node} says that it has {}, and stores about {}: it is counterfeit or worn out. What was on it is lost.",
                size(device.size),
                size(at_least)
            )),
            Err(error) => problems.push(format!("{node} failed: {error}")),
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(CommandError::NotVerified { problems })
}

fn summary(package: &Package) -> String {
    let name = package.path.display();
    let size = package.size.map_or_else(|| "of unknown size".into(), size);
    let build = package.build.as_ref();
    let build = build.map_or_else(String::new, |it| format!(", {} {}", it.name, it.version));
    let mapped = package.map.as_ref();
    let mapped = mapped.map_or_else(String::new, |map| {
        format!(", {} of it hold anything", self::size(map.mapped()))
    });
    format!("{name}{build}: {size}{mapped}")
}
