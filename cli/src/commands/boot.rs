//! `bakelite boot`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use image_builder::boot::{self, BootError, Machine, Session};
use image_builder::disk;
use image_builder::lock::Lock;
use image_builder::pipeline::BuildError;

use super::Outcome;
use crate::arguments::{Arguments, BootArguments, Until};
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

pub(super) fn run(arguments: &Arguments, command: &BootArguments, ui: &mut Ui) -> Outcome {
    let host = environment::host(arguments)?;
    let lock = Lock::read(&lock_file(command)?).map_err(BuildError::from)?;
    let disk = match &command.disk {
        Some(disk) => std::path::absolute(disk).map_err(CommandError::io("find the disk"))?,
        None => host.cache_folder("boot").join("disk.img"),
    };
    if let Some(folder) = disk.parent() {
        fs_err::create_dir_all(folder).map_err(CommandError::io("make the disk's folder"))?;
    }
    if command.disk.is_none() || !disk.exists() {
        disk::decompress(&command.image, &disk, command.disk_size << 30)
            .map_err(CommandError::io("decompress the image"))?;
    }
    let console = match &command.console {
        Some(console) => {
            std::path::absolute(console).map_err(CommandError::io("find the console file"))?
        }
        None => disk.with_extension("console"),
    };
    let machine = Machine {
        disk,
        console,
        https_port: command.port,
        ssh_port: command.ssh_port,
        forwards: command.forward.clone(),
        memory_mib: command.memory,
        board: command.board.clone(),
        is_read_only: command.read_only,
        restarts: !command.end_at_restart,
    };
    let console = machine.console.clone();
    let started = Instant::now();
    let mut sink = |event| ui.event(&event);
    let mut session = Session::start(&host, &lock, machine, &mut sink)?;
    let limit = Duration::from_secs(command.timeout);
    match command.until {
        Some(Until::Healthy) => {
            let took = boot::wait_until_healthy(&mut session, limit, &mut sink)?;
            let text = format!(
                "healthy after {:.1} s\n  console {}",
                took.as_secs_f64(),
                console.display()
            );
            ui.answer(&text, &serde_json::json!({ "healthy": true, "seconds": took.as_secs_f64(), "console": console }));
        }
        Some(Until::Off) => {
            while session.is_on()? {
                if started.elapsed() > limit {
                    let console = boot::tail(&console);
                    return Err(BootError::TimedOut {
                        seconds: limit.as_secs(),
                        console,
                    }
                    .into());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            let text = format!(
                "off after {:.1} s\n  console {}",
                started.elapsed().as_secs_f64(),
                console.display()
            );
            ui.answer(
                &text,
                &serde_json::json!({ "off": true, "console": console }),
            );
        }
        None => {
            ui.status(&format!(
                "https://127.0.0.1:{} leads to the agent; the console goes to {}",
                session.machine().https_port,
                console.display()
            ));
            ui.status("Ctrl-C switches the machine off");
            while session.is_on()? {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lock lies beside the image under the image's name.
fn lock_file(command: &BootArguments) -> Result<PathBuf, CommandError> {
    if let Some(lock) = &command.lock {
        return Ok(lock.clone());
    }
    let name = command
        .image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem = name.split(".img").next().unwrap_or(&name);
    let lock = command
        .image
        .parent()
        .unwrap_or(Path::new("."))
        .join(format!("{stem}.lock"));
    if lock.is_file() {
        return Ok(lock);
    }
    let text = format!(
        "no lock lies beside the image ({}): name one with --lock, it says which emulator to use",
        lock.display()
    );
    Err(CommandError::Usage { text })
}
