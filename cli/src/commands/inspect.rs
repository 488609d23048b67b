//! `bakelite inspect`

use std::fmt::Write as _;
use std::process::ExitCode;

use image_builder::firmware::{self, Board, BootPartition};
use image_builder::{boot, disk};

use super::Outcome;
use crate::arguments::InspectArguments;
use crate::command_error::CommandError;
use crate::ui::{Ui, size};

pub(super) fn run(command: &InspectArguments, ui: &mut Ui) -> Outcome {
    let folder = tempfile::tempdir().map_err(CommandError::io("make a temporary folder"))?;
    let disk = folder.path().join("disk.img");
    disk::decompress(&command.image, &disk, 0).map_err(CommandError::io("decompress the image"))?;
    let mut file = fs_err::File::open(&disk).map_err(CommandError::io("open the image"))?;
    let boot = BootPartition::read(&mut file).map_err(boot::BootError::Firmware)?;
    let mut text = format!("disk signature {:08x}\n", boot.table.signature);
    for (number, partition) in &boot.partitions {
        let bytes = u64::from(partition.sectors) * 512;
        writeln!(
            text,
            "  partition {number} type {:02x} at sector {}, {}",
            partition.kind,
            partition.first,
            size(bytes)
        )
        .expect("strings take everything");
    }
    if let Some(autoboot) = boot.autoboot {
        let name = |partition: Option<u32>| {
            partition.map_or_else(|| "the first that can".into(), |number| number.to_string())
        };
        writeln!(
            text,
            "starts partition {}, and {} when asked for the other slot",
            name(autoboot.chosen(false)),
            name(autoboot.chosen(true))
        )
        .expect("strings take everything");
    }
    writeln!(text, "boot files").expect("strings take everything");
    for (name, bytes) in boot.names() {
        writeln!(text, "  {name:<32} {}", size(bytes)).expect("strings take everything");
    }
    let mut boards = serde_json::Map::new();
    for name in Board::names() {
        let board = Board::find(name).expect("names are of known boards");
        match firmware::plan(&boot, board) {
            Ok(plan) => {
                writeln!(
                    text,
                    "{name}: starts {} with {}",
                    plan.kernel, plan.device_tree
                )
                .expect("strings take everything");
                boards.insert(name.into(), serde_json::json!({ "starts": true, "kernel": plan.kernel, "command-line": plan.command_line }));
            }
            Err(problems) => {
                writeln!(text, "{name}: would not start ({})", problems.join("; "))
                    .expect("strings take everything");
                boards.insert(
                    name.into(),
                    serde_json::json!({ "starts": false, "problems": problems }),
                );
            }
        }
    }
    ui.answer(&text, &serde_json::json!({ "signature": format!("{:08x}", boot.table.signature), "boards": boards }));
    Ok(ExitCode::SUCCESS)
}
