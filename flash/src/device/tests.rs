//! A sysfs of our own: disks with names that begin alike, and all that may lie upon a disk.

use std::path::Path;

use super::*;

struct Machine {
    folder: tempfile::TempDir,
    mounts: String,
    swaps: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join("sys/dev/block")).unwrap();
        Self {
            folder,
            mounts: String::new(),
            swaps: "Filename Type Size Used Priority\n".into(),
        }
    }

    /// Adds a block device; `path` is below `sys/devices`.
    fn add(&self, path: &str, number: &str, files: &[(&str, &str)]) {
        let root = self.folder.path().join("sys");
        let folder = root.join("devices").join(path);
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let uevent = format!("DEVNAME={name}\n");
        let common = [("dev", number), ("size", "62333952"), ("uevent", &uevent)];
        for (file, text) in common.iter().chain(files) {
            let file = folder.join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        }
        let link = root.join("dev/block").join(number);
        fs_err::os::unix::fs::symlink(&folder, link).unwrap();
    }

    fn link(&self, holder: &str, slave: &str) {
        let root = self.folder.path().join("sys/devices");
        let name = |path: &str| Path::new(path).file_name().unwrap().to_owned();
        for (at, to, folder) in [(slave, holder, "holders"), (holder, slave, "slaves")] {
            let folder = root.join(at).join(folder);
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::os::unix::fs::symlink(root.join(to), folder.join(name(to))).unwrap();
        }
    }

    fn scan(&self) -> Devices {
        let root = self.folder.path();
        fs_err::write(root.join("mounts"), &self.mounts).unwrap();
        fs_err::write(root.join("swaps"), &self.swaps).unwrap();
        let places = Places {
            sys: fs_err::canonicalize(root.join("sys")).unwrap(),
            dev: "/dev".into(),
            mounts: root.join("mounts"),
            swaps: root.join("swaps"),
            udev: root.join("udev"),
        };
        Devices::scan(&places).unwrap()
    }
}

fn verdict(devices: &Devices, node: &str) -> Verdict {
    let mut all = devices.all().iter();
    let device = all.find(|device| device.node == Path::new(node));
    device
        .unwrap_or_else(|| panic!("{node}: {devices:?}"))
        .verdict()
}

fn stick(machine: &Machine, name: &str, port: &str, number: &str) {
    let usb = format!("pci0/usb1/{port}");
    let folder = machine.folder.path().join("sys/devices").join(&usb);
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("idVendor"), "090c\n").unwrap();
    fs_err::write(folder.join("serial"), format!("SER-{port}\n")).unwrap();
    let path = format!("{usb}/block/{name}");
    machine.add(
        &path,
        number,
        &[("removable", "1\n"), ("device/model", "Reader \u{202e}x\n")],
    );
}

#[test]
fn a_disk_is_not_taken_for_one_whose_name_begins_alike() {
    let mut machine = Machine::new();
    stick(&machine, "sda", "1-1", "8:0");
    stick(&machine, "sdaa", "1-2.4", "65:160");
    let partition = "pci0/usb1/1-2.4/block/sdaa/sdaa1";
    machine.add(partition, "65:161", &[("partition", "1\n")]);
    machine.mounts = "36 35 65:161 / /media/x rw - ext4 /dev/sdaa1 rw\n".into();
    let devices = machine.scan();
    assert_eq!(verdict(&devices, "/dev/sda"), Verdict::Offered);
    let Verdict::Refused(reason) = verdict(&devices, "/dev/sdaa") else {
        panic!("{devices:?}");
    };
    assert!(reason.contains("/media/x"), "{reason}");
    let [sda, sdaa] = devices.all() else {
        panic!("partitions are no disks: {devices:?}");
    };
    assert_eq!(
        (sda.port.as_deref(), sda.serial.as_deref()),
        (Some("1-1"), Some("SER-1-1"))
    );
    assert_eq!((sda.bus, sda.size), (Bus::Usb, 62_333_952 * 512));
    assert_eq!(
        sda.model.as_deref(),
        Some("Reader x"),
        "nothing turns the terminal's text around"
    );
    assert_eq!(sdaa.partitions.len(), 1);
    assert!(!sda.is_same(sdaa) && sda.is_same(&sda.clone()));
}

#[test]
fn all_disks_below_what_is_in_use_are_in_use() {
    let mut machine = Machine::new();
    // Two sticks, a RAID of one's partition and the other's disk, encryption upon that, mounted.
    stick(&machine, "sda", "1-1", "8:0");
    let partition = "pci0/usb1/1-1/block/sda/sda1";
    machine.add(partition, "8:1", &[("partition", "1\n")]);
    stick(&machine, "sdb", "1-2", "8:16");
    stick(&machine, "sdc", "1-3", "8:32");
    machine.add("virtual/block/md0", "9:0", &[]);
    machine.add("virtual/block/dm-0", "252:0", &[]);
    machine.link("virtual/block/md0", partition);
    machine.link("virtual/block/md0", "pci0/usb1/1-2/block/sdb");
    machine.link("virtual/block/dm-0", "virtual/block/md0");
    machine.mounts = "36 35 252:0 / / rw - ext4 /dev/mapper/root rw\n".into();
    let devices = machine.scan();
    for node in ["/dev/sda", "/dev/sdb", "/dev/md0", "/dev/dm-0"] {
        let Verdict::Refused(reason) = verdict(&devices, node) else {
            panic!("{node} is offered");
        };
        assert!(reason.contains("mounted at /"), "{node}: {reason}");
    }
    assert_eq!(verdict(&devices, "/dev/sdc"), Verdict::Offered);
    // Held without being mounted: a RAID that is assembled, a volume group that is active.
    machine.mounts.clear();
    let devices = machine.scan();
    assert!(matches!(verdict(&devices, "/dev/sda"), Verdict::Refused(_)));
}

#[test]
fn what_is_no_card_is_named() {
    let machine = Machine::new();
    machine.add("pci0/ata1/block/sda", "8:0", &[("removable", "0\n")]);
    machine.add("virtual/block/loop0", "7:0", &[]);
    stick(&machine, "sdb", "1-1", "8:16");
    let folder = machine
        .folder
        .path()
        .join("sys/devices/pci0/usb1/1-1/block/sdb");
    let with = |file: &str, text: &str| {
        fs_err::write(folder.join(file), text).unwrap();
        verdict(&machine.scan(), "/dev/sdb")
    };
    let devices = machine.scan();
    for node in ["/dev/sda", "/dev/loop0"] {
        assert!(
            matches!(verdict(&devices, node), Verdict::Unusual(_)),
            "{node}"
        );
    }
    assert!(matches!(with("size", "1000000000\n"), Verdict::Unusual(_)));
    assert!(matches!(with("size", "0\n"), Verdict::Refused(_)));
    with("size", "62333952\n");
    assert!(matches!(with("ro", "1\n"), Verdict::Refused(_)));
    with("ro", "0\n");
    let boot_area = with("ro_lock_until_next_power_on", "0\n");
    assert!(matches!(boot_area, Verdict::Refused(_)));
}
