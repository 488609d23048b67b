//! `bakelite flash`

pub(crate) mod boards;
mod choose;
mod fetch;
mod personal;
mod progress;
mod record;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use device_settings::Hidden;
use flash::device::Places;
use flash::write::{
    BlockDevice, Capacity, Disk, Failure, Plan, Settings, Spread, Written, probe, run as write,
};
use flash::{Device, Devices, Package, Signers};
use flash_record::{FlashRecord, Outcome as Ending};
use serde::Serialize;

use self::boards::Boards;
use self::personal::Personal;
use self::record::Circumstances;
use super::Outcome;
use super::devices::describe;
use crate::arguments::Arguments;
use crate::arguments::flash::FlashArguments;
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::{Ui, size};

/// What became of a disk, and what its owner must know.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    record: &'a FlashRecord,
    /// Made for this device and told here alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_code: Option<&'a Hidden>,
}

pub(super) fn run(command: &FlashArguments, arguments: &Arguments, ui: &mut Ui) -> Outcome {
    let places = Places::default();
    let package = image(command, arguments, ui)?;
    let boards = match &command.usb_boot {
        Some(folder) => boards::take(folder, &command.only, ui)?,
        None => Boards::new(),
    };
    let devices = Devices::scan(&places).map_err(CommandError::Scan)?;
    let chosen = choose::choose(command, &devices, &boards)?;
    let personal = personal::of_each(&command.settings, &package.source, &chosen)?;
    let what: String = chosen.iter().map(|device| describe(device)).collect();
    ui.status(&format!("{}\n{what}", summary(&package)));
    choose::confirm(command, &chosen, ui)?;
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
        is_checked: package.build.is_some() || package.signed_by.is_some(),
    };
    let (began, clock) = (jiff::Timestamp::now(), Instant::now());
    let outcomes = write_all(ui, &package, plan.clone(), &chosen, &disks, &personal)?;
    let circumstances = Circumstances {
        package: &package,
        began,
        seconds: clock.elapsed().as_secs_f64(),
        reads_back: plan.reads_back,
        uses_map: plan.map.is_some(),
        operator: command.record.operator.as_deref(),
        boards: &boards,
    };
    let cards = chosen.iter().zip(&personal).zip(&outcomes);
    let records: Vec<FlashRecord> = cards
        .map(|((device, own), outcome)| {
            record::of(device, own.hostname.as_ref(), outcome, &circumstances)
        })
        .collect();
    record::append(&command.record, &records)?;
    tell(ui, &records, &personal, &outcomes, circumstances.seconds)
}

/// Finds the image, wherever it is, and checks it.
fn image(
    command: &FlashArguments,
    arguments: &Arguments,
    ui: &mut Ui,
) -> Result<Package, CommandError> {
    let threads = std::thread::available_parallelism();
    let threads = threads.map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    let signers = Signers::load(&command.signed_by).map_err(CommandError::Signers)?;
    if signers.is_empty() && !command.signed_by.is_empty() {
        let text = "the files of --signed-by hold no key".into();
        return Err(CommandError::Usage { text });
    }
    let path = if fetch::is_address(&command.image) {
        fetch::fetch(&command.image, &environment::cache_folder(arguments), ui)?
    } else {
        PathBuf::from(&command.image)
    };
    ui.status(&format!("Checking {}", path.display()));
    Package::open(&path, threads, &signers).map_err(CommandError::Package)
}

fn write_all(
    ui: &mut Ui,
    package: &Package,
    plan: Plan,
    chosen: &[&Device],
    disks: &[Disk],
    personal: &[Personal],
) -> Result<Vec<Result<Written, Failure>>, CommandError> {
    let spread: Vec<Spread<'_>> = disks
        .iter()
        .zip(personal)
        .map(|(disk, personal)| Spread {
            disk: disk as &dyn BlockDevice,
            patch: personal.patch.clone(),
            report: Arc::default(),
        })
        .collect();
    let settings = Settings::of(plan);
    let map = settings.plan.map.as_ref();
    let total = map.map(|map| map.mapped()).or(package.size);
    let outcomes = std::thread::scope(|scope| {
        let (over, is_over) = std::sync::mpsc::channel();
        let (source, settings, spread) = (&package.source, &settings, &spread);
        let writing = scope.spawn(move || {
            // Dropped at the end, whatever it is.
            let _over = over;
            write(source, settings, spread)
        });
        progress::show(ui, chosen, spread, total, &is_over);
        writing.join()
    });
    outcomes.map_err(|_panic| CommandError::Usage {
        text: "writing ended unexpectedly".into(),
    })
}

/// Says how it ended. Codes that were made are told here and nowhere else.
fn tell(
    ui: &mut Ui,
    records: &[FlashRecord],
    personal: &[Personal],
    outcomes: &[Result<Written, Failure>],
    seconds: f64,
) -> Outcome {
    let (mut text, mut failed, mut answers) = (String::new(), Vec::new(), Vec::new());
    for ((record, own), outcome) in records.iter().zip(personal).zip(outcomes) {
        let mut sentence = record::sentence(record, outcome.as_ref().err());
        let claim_code = own.new_code.as_ref().filter(|_| outcome.is_ok());
        if let Some(code) = claim_code {
            let name = record.hostname.as_deref().unwrap_or("its device");
            write!(sentence, "; claim code of {name}: {}", code.reveal())
                .expect("strings take everything");
        }
        if record.result == Ending::Failed {
            failed.push(sentence);
        } else {
            writeln!(text, "{sentence}").expect("strings take everything");
        }
        answers.push(Answer { record, claim_code });
    }
    writeln!(text, "{seconds:.1} s").expect("strings take everything");
    ui.answer(&text, &answers);
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
    let signer = package.signed_by.as_ref();
    let signer = signer.map_or_else(String::new, |it| format!(", signed by {it}"));
    let mapped = package.map.as_ref();
    let mapped = mapped.map_or_else(String::new, |map| {
        format!(", {} of it hold anything", self::size(map.mapped()))
    });
    format!("{name}{build}{signer}: {size}{mapped}")
}
