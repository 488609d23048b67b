//! Finding disks.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::usage::{self, number_of};
use super::{Bus, Device, Number, Partition};

/// Bytes in the unit of `size` files, whatever the device's own blocks are.
const SECTOR: u64 = 512;

/// Where the kernel tells of devices. Tests have places of their own.
#[derive(Debug, Clone)]
pub struct Places {
    /// sysfs.
    pub sys: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// What is mounted, as in `/proc/self/mountinfo`.
    pub mounts: PathBuf,
    /// What is swapped to, as in `/proc/swaps`.
    pub swaps: PathBuf,
    /// udev's knowledge of file systems.
    pub udev: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            mounts: "/proc/self/mountinfo".into(),
            swaps: "/proc/swaps".into(),
            udev: "/run/udev/data".into(),
        }
    }
}

impl Places {
    pub(super) fn numbers(&self) -> PathBuf {
        self.sys.join("dev/block")
    }
}

/// The disks cannot be listed. That is another thing than that there are none.
#[derive(Debug, thiserror::Error)]
#[error("the disks of this machine cannot be listed")]
pub struct ScanError(#[from] io::Error);

/// The disks of this machine at one moment.
#[derive(Debug, Clone)]
pub struct Devices(Vec<Device>);

impl Devices {
    /// Lists all disks, by their nodes.
    pub fn scan(places: &Places) -> Result<Self, ScanError> {
        let mut uses = usage::of_disks(places)?;
        let mut devices = Vec::new();
        for (number, folder) in numbers_below(&places.numbers())? {
            if folder.join("partition").exists() {
                continue;
            }
            // One that is unplugged meanwhile is left out.
            if let Some(mut device) = read(places, number, &folder) {
                device.uses = uses.remove(&number).into_iter().flatten().collect();
                devices.push(device);
            }
        }
        devices.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(Self(devices))
    }

    /// Returns all of them.
    pub fn all(&self) -> &[Device] {
        &self.0
    }

    /// Finds the disk of a node, whatever name leads there.
    pub fn find(&self, node: &Path) -> Option<&Device> {
        let number = number_of(node)?;
        self.0.iter().find(|device| device.number == number)
    }

    /// Finds the disk that a partition is on, for a word on what was meant.
    pub fn disk_of_partition(&self, node: &Path) -> Option<&Device> {
        let number = number_of(node)?;
        let has = |device: &&Device| device.partitions.iter().any(|one| one.number == number);
        self.0.iter().find(has)
    }
}

/// Lists block devices by their numbers.
pub(super) fn numbers_below(folder: &Path) -> io::Result<BTreeMap<Number, PathBuf>> {
    let mut all = BTreeMap::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
            all.insert(number, entry.path());
        }
    }
    Ok(all)
}

fn read(places: &Places, number: Number, folder: &Path) -> Option<Device> {
    let folder = fs_err::canonicalize(folder).ok()?;
    let node = places.dev.join(property(&folder, "DEVNAME")?);
    let size = text(&folder.join("size"))?.parse::<u64>().ok()? * SECTOR;
    let hardware = folder.join("device");
    let usb = usb_folder(&places.sys, &folder);
    let fact = |name: &str| text(&hardware.join(name));
    let of_usb = |name: &str| text(&usb.as_ref()?.join(name));
    let bus = bus(&folder, usb.is_some());
    let entries = fs_err::read_dir(&folder).into_iter().flatten().flatten();
    let mut partitions: Vec<Partition> = entries
        .filter_map(|entry| partition(places, &entry.path()))
        .collect();
    partitions.sort_by_key(|one| one.number);
    Some(Device {
        node,
        number,
        size,
        vendor: fact("vendor").or_else(|| of_usb("manufacturer")),
        model: fact("model")
            .or_else(|| fact("name"))
            .or_else(|| of_usb("product")),
        serial: fact("serial").or_else(|| of_usb("serial")),
        port: usb.and_then(|usb| usb.file_name()?.to_str().map(str::to_owned)),
        bus,
        is_removable: text(&folder.join("removable")).as_deref() == Some("1"),
        is_read_only: text(&folder.join("ro")).as_deref() == Some("1"),
        // Only boot partitions of an eMMC have it (kernel: Documentation/driver-api/mmc/mmc-dev-parts.rst).
        is_boot_area: folder.join("ro_lock_until_next_power_on").exists(),
        partitions,
        uses: Vec::new(),
    })
}

fn partition(places: &Places, folder: &Path) -> Option<Partition> {
    text(&folder.join("partition"))?;
    let number: Number = text(&folder.join("dev"))?.parse().ok()?;
    let known = fs_err::read_to_string(places.udev.join(format!("b{number}")));
    let known = known.unwrap_or_default();
    let fact = |name: &str| {
        let mut lines = known.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("E:{name}=")))?;
        Some(plain(value))
    };
    Some(Partition {
        node: places.dev.join(property(folder, "DEVNAME")?),
        number,
        size: text(&folder.join("size"))?.parse::<u64>().ok()? * SECTOR,
        label: fact("ID_FS_LABEL"),
        file_system: fact("ID_FS_TYPE"),
    })
}

/// Returns how a disk is connected, by the subsystems above it.
fn bus(folder: &Path, is_usb: bool) -> Bus {
    if is_usb {
        return Bus::Usb;
    }
    if folder
        .components()
        .any(|part| part.as_os_str() == "virtual")
    {
        return Bus::Virtual;
    }
    let subsystem = fs_err::canonicalize(folder.join("device/subsystem")).ok();
    let name = subsystem.as_ref().and_then(|folder| folder.file_name());
    if name.is_some_and(|name| name == "mmc") {
        Bus::Mmc
    } else {
        Bus::Internal
    }
}

/// Finds the USB device above a disk.
fn usb_folder(sys: &Path, folder: &Path) -> Option<PathBuf> {
    let above = folder.ancestors().take_while(|above| *above != sys);
    let mut usb = above.filter(|above| above.join("idVendor").exists());
    usb.next().map(Path::to_owned)
}

fn property(folder: &Path, name: &str) -> Option<String> {
    let text = fs_err::read_to_string(folder.join("uevent")).ok()?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.map(str::to_owned)
}

fn text(path: &Path) -> Option<String> {
    let text = fs_err::read_to_string(path).ok()?;
    Some(plain(text.trim())).filter(|text| !text.is_empty())
}

/// What a device says of itself goes to a terminal: nothing but plain characters does.
fn plain(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| is_plain(*c)).take(80).collect()
}
