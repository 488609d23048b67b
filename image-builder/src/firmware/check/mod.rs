//! What each board would load from a boot partition, and every reason why it would not start.

use boot_partition::autoboot;

use super::{BootPartition, Config};

/// A board, as the firmware tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Name in overlays, such as `pi4`.
    pub name: &'static str,
    filters: &'static [&'static str],
    /// Whether its ROM reads `bootcode.bin` from the first partition. That of others is in an EEPROM.
    reads_first_stage: bool,
    /// Second-stage firmware read from the card. The Pi 5's is in its EEPROM.
    firmware: &'static [&'static str],
    device_tree: &'static str,
    /// What its device tree says that it is compatible with, first.
    pub compatible: &'static str,
    /// Name of the kernel when `config.txt` does not say.
    kernel: &'static str,
    /// Release of its boot EEPROM that images with two slots should find at least: it starts a slot once, and goes on to the next
    /// partition where one does not start (`PARTITION_WALK`; rpi-eeprom, release notes of 2711 and 2712).
    pub eeprom: Option<&'static str>,
}

const PI_4_EEPROM: &str = "2025-08-20";
const FIRST_STAGE: &str = "bootcode.bin";
const OLD: &[&str] = &["start.elf", "fixup.dat"];
const NEW: &[&str] = &["start4.elf", "fixup4.dat"];
const BOARDS: &[Board] = &[
    Board {
        name: "pi3",
        filters: &["pi3"],
        reads_first_stage: true,
        firmware: OLD,
        device_tree: "bcm2837-rpi-3-b.dtb",
        compatible: "raspberrypi,3-model-b",
        kernel: "kernel8.img",
        eeprom: None,
    },
    Board {
        name: "pi3-plus",
        filters: &["pi3", "pi3+"],
        reads_first_stage: true,
        firmware: OLD,
        device_tree: "bcm2837-rpi-3-b-plus.dtb",
        compatible: "raspberrypi,3-model-b-plus",
        kernel: "kernel8.img",
        eeprom: None,
    },
    Board {
        name: "zero2w",
        filters: &["pi02"],
        reads_first_stage: true,
        firmware: OLD,
        device_tree: "bcm2837-rpi-zero-2-w.dtb",
        compatible: "raspberrypi,model-zero-2-w",
        kernel: "kernel8.img",
        eeprom: None,
    },
    Board {
        name: "pi4",
        filters: &["pi4"],
        reads_first_stage: false,
        firmware: NEW,
        device_tree: "bcm2711-rpi-4-b.dtb",
        compatible: "raspberrypi,4-model-b",
        kernel: "kernel8.img",
        eeprom: Some(PI_4_EEPROM),
    },
    Board {
        name: "pi400",
        filters: &["pi4", "pi400"],
        reads_first_stage: false,
        firmware: NEW,
        device_tree: "bcm2711-rpi-400.dtb",
        compatible: "raspberrypi,400",
        kernel: "kernel8.img",
        eeprom: Some(PI_4_EEPROM),
    },
    Board {
        name: "cm4",
        filters: &["pi4", "cm4"],
        reads_first_stage: false,
        firmware: NEW,
        device_tree: "bcm2711-rpi-cm4-io.dtb",
        compatible: "raspberrypi,4-compute-module",
        kernel: "kernel8.img",
        eeprom: Some(PI_4_EEPROM),
    },
    Board {
        name: "pi5",
        filters: &["pi5"],
        reads_first_stage: false,
        firmware: &[],
        device_tree: "bcm2712-rpi-5-b.dtb",
        compatible: "raspberrypi,5-model-b",
        kernel: "kernel_2712.img",
        eeprom: Some("2025-08-27"),
    },
];

impl Board {
    /// Finds a board by name.
    pub fn find(name: &str) -> Option<Self> {
        BOARDS.iter().copied().find(|board| board.name == name)
    }

    /// Returns the names of all boards.
    pub fn names() -> Vec<&'static str> {
        BOARDS.iter().map(|board| board.name).collect()
    }
}

/// What a board would load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    /// Name of the kernel file.
    pub kernel: String,
    /// Name of the initramfs file, if there is one.
    pub initramfs: Option<String>,
    /// The kernel's command line.
    pub command_line: String,
    /// Name of the device tree.
    pub device_tree: String,
}

/// Returns what `board` would load, or every reason why it would not start.
pub fn plan(boot: &BootPartition, board: Board) -> Result<BootPlan, Vec<String>> {
    let mut problems = Vec::new();
    let mut need = |name: &str, why: &str| {
        if boot.file(name).is_none_or(<[u8]>::is_empty) {
            problems.push(format!("{}: {why} {name} is missing or empty", board.name));
        }
    };
    for name in board.firmware {
        need(name, "the firmware file");
    }
    let is_there = |name: &str| boot.first(name).is_some_and(|bytes| !bytes.is_empty());
    let text = String::from_utf8_lossy(boot.file("config.txt").unwrap_or_default()).into_owned();
    need("config.txt", "the configuration");
    let config = Config::parse(&text, board.filters);
    let kernel = config.get("kernel").unwrap_or(board.kernel).to_owned();
    need(&kernel, "the kernel");
    let initramfs = config
        .get("initramfs")
        .and_then(|value| value.split_whitespace().next())
        .map(str::to_owned);
    if let Some(name) = &initramfs {
        need(name, "the initramfs");
    }
    let device_tree = config
        .get("device_tree")
        .unwrap_or(board.device_tree)
        .to_owned();
    need(&device_tree, "the device tree");
    let command_file = config.get("cmdline").unwrap_or("cmdline.txt").to_owned();
    need(&command_file, "the command line");
    let command_text =
        String::from_utf8_lossy(boot.file(&command_file).unwrap_or_default()).into_owned();
    let command_line = command_text
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    if command_text.trim_end().lines().count() > 1 {
        problems.push(format!(
            "{}: {command_file} has more than one line: all but the first are ignored",
            board.name
        ));
    }
    if let Some(line) = Config::overlong(&text) {
        problems.push(format!(
            "{}: line {line} of config.txt is too long: the firmware cuts it",
            board.name
        ));
    }
    if config.get("arm_64bit") != Some("1") {
        problems.push(format!(
            "{}: config.txt does not set arm_64bit=1: the kernel would be started in 32-bit mode",
            board.name
        ));
    }
    if let Some(bytes) = boot.file(&kernel)
        && !is_kernel(bytes)
    {
        problems.push(format!("{}: {kernel} is no arm64 kernel image", board.name));
    }
    if board.reads_first_stage && !is_there(FIRST_STAGE) {
        problems.push(format!(
            "{}: {FIRST_STAGE} is missing or empty on the first partition",
            board.name
        ));
    }
    if let Some(bytes) = boot.first(autoboot::FILE)
        && bytes.len() > autoboot::LONGEST
    {
        problems.push(format!(
            "{}: {} has {} bytes, and the firmware reads {}",
            board.name,
            autoboot::FILE,
            bytes.len(),
            autoboot::LONGEST
        ));
    }
    problems.extend(
        check_root(boot, &command_line).map(|problem| format!("{}: {problem}", board.name)),
    );
    if problems.is_empty() {
        Ok(BootPlan {
            kernel,
            initramfs,
            command_line,
            device_tree,
        })
    } else {
        Err(problems)
    }
}

/// Checks all named boards and returns every problem.
pub fn check(boot: &BootPartition, boards: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for name in boards {
        match Board::find(name) {
            None => problems.push(format!(
                "the firmware model knows no board “{name}” (it knows {})",
                Board::names().join(", ")
            )),
            Some(board) => problems.extend(plan(boot, board).err().unwrap_or_default()),
        }
    }
    problems
}

/// "ARM\x64" at 56 (Linux: Documentation/arch/arm64/booting.rst), plain or in gzip.
fn is_kernel(bytes: &[u8]) -> bool {
    bytes.get(56..60) == Some(b"ARM\x64") || bytes.starts_with(&[0x1f, 0x8b])
}

fn check_root(boot: &BootPartition, command_line: &str) -> Option<String> {
    if boot.autoboot.is_some() {
        return check_slots(boot, command_line);
    }
    let Some(root) = command_line
        .split(' ')
        .find_map(|word| word.strip_prefix("root="))
    else {
        return Some("the command line has no root=".to_owned());
    };
    let Some(id) = root.strip_prefix("PARTUUID=") else {
        return Some(format!(
            "root={root} is not a PARTUUID: it would depend on the kind of disk"
        ));
    };
    let expected = format!("{:08x}-", boot.table.signature);
    let number = id
        .strip_prefix(&expected)
        .and_then(|number| number.parse::<usize>().ok());
    match number {
        Some(number) if number >= 1 && number <= boot.table.partitions.len() => None,
        _ => Some(format!(
            "root={root} names no partition of this disk (its ids begin with {expected})"
        )),
    }
}

/// With two slots it is the initramfs that finds the root: by the disk's signature, and the hash of its contents.
fn check_slots(boot: &BootPartition, command_line: &str) -> Option<String> {
    let value = |key: &str| {
        command_line
            .split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    let signature = format!("{:08x}", boot.table.signature);
    if value("bakelite.disk") != Some(&signature) {
        return Some(format!(
            "the command line does not say bakelite.disk={signature}, the signature of this disk"
        ));
    }
    if value("bakelite.root").is_none_or(|hash| hash.len() != 64) {
        return Some("the command line has no bakelite.root= with a root hash".into());
    }
    let numbers: Vec<u32> = boot.partitions.iter().map(|(number, _)| *number).collect();
    if numbers != [1, 2, 3, 5, 6, 7] {
        return Some(format!(
            "two slots need the partitions 1, 2, 3, 5, 6 and 7, and there are {numbers:?}"
        ));
    }
    let starts: Vec<u32> = boot
        .partitions
        .iter()
        .map(|(_, partition)| partition.first)
        .collect();
    // Firmware loops for ever over tables that are not in the order of the disk (rpi-eeprom, issues 705 and 818).
    if !starts.is_sorted() {
        return Some("the partitions do not lie in the order of their numbers".into());
    }
    let end = |index: usize| boot.partitions[index].1.first + boot.partitions[index].1.sectors;
    (end(0) != starts[1] || end(1) != starts[2])
        .then(|| "the first three partitions do not follow each other".into())
}

#[cfg(test)]
mod tests;
