use std::io::{Cursor, Seek as _, Write as _};

use boot_partition::autoboot::Autoboot;

use super::*;
use crate::partitions::fat::{self, Files};
use crate::partitions::layout::Ab;
use crate::partitions::mbr::{FAT32_LBA, LINUX, Mbr, Partition};

const START: u64 = 1 << 20;
const SIZE: u64 = 40 << 20;

fn good_files() -> Files {
    let mut kernel = vec![0; 100];
    kernel[56..60].copy_from_slice(b"ARM\x64");
    let mut files = Files::new();
    for name in [
        "bootcode.bin",
        "start.elf",
        "fixup.dat",
        "start4.elf",
        "fixup4.dat",
        "initrd.img",
        "bcm2711-rpi-4-b.dtb",
        "bcm2837-rpi-3-b.dtb",
    ] {
        files.insert(name.into(), vec![1]);
    }
    files.insert("vmlinuz".into(), kernel);
    files.insert(
        "config.txt".into(),
        b"arm_64bit=1\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n".to_vec(),
    );
    files.insert(
        "cmdline.txt".into(),
        b"root=PARTUUID=0000abcd-02 rootwait\n".to_vec(),
    );
    files
}

fn problems(files: &Files, kind: u8) -> Vec<String> {
    let mut disk = Cursor::new(vec![0; usize::try_from(START + SIZE).unwrap()]);
    let volume = fat::Volume {
        label: "bootfs",
        id: 1,
        timestamp: 0,
    };
    fat::write(&mut disk, START, SIZE, volume, files).unwrap();
    let sectors = |bytes: u64| u32::try_from(bytes / 512).unwrap();
    let partitions = vec![
        Partition {
            kind,
            first: sectors(START),
            sectors: sectors(SIZE),
        },
        Partition {
            kind: LINUX,
            first: sectors(START + SIZE),
            sectors: 8,
        },
    ];
    disk.rewind().unwrap();
    disk.write_all(
        &Mbr {
            signature: 0xabcd,
            partitions,
        }
        .to_sector(),
    )
    .unwrap();
    match BootPartition::read(&mut disk) {
        Ok(boot) => check(&boot, &["pi3".to_owned(), "pi4".to_owned()]),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn a_whole_boot_partition_starts_every_board() {
    assert_eq!(problems(&good_files(), FAT32_LBA), Vec::<String>::new());
}

#[test]
fn each_missing_file_stops_the_boards_that_need_it() {
    let expected = [
        (
            "bootcode.bin",
            vec!["pi3: bootcode.bin is missing or empty on the first partition"],
        ),
        (
            "start4.elf",
            vec!["pi4: the firmware file start4.elf is missing or empty"],
        ),
        (
            "bcm2837-rpi-3-b.dtb",
            vec!["pi3: the device tree bcm2837-rpi-3-b.dtb is missing or empty"],
        ),
        (
            "initrd.img",
            vec![
                "pi3: the initramfs initrd.img is missing or empty",
                "pi4: the initramfs initrd.img is missing or empty",
            ],
        ),
    ];
    for (name, expected) in expected {
        let mut files = good_files();
        files.remove(name);
        assert_eq!(problems(&files, FAT32_LBA), expected);
    }
}

#[test]
fn a_partition_type_that_the_rom_does_not_take_is_refused() {
    assert!(problems(&good_files(), 0xef)[0].contains("no partition has a FAT type"));
}

#[test]
fn wrong_contents_are_told() {
    let cases: [(&str, &[u8], &str); 5] = [
        ("vmlinuz", b"not a kernel", "is no arm64 kernel image"),
        (
            "cmdline.txt",
            b"root=PARTUUID=00001111-02\n",
            "names no partition of this disk",
        ),
        ("cmdline.txt", b"root=/dev/mmcblk0p2\n", "is not a PARTUUID"),
        (
            "cmdline.txt",
            b"root=PARTUUID=0000abcd-02\nsecond line\n",
            "more than one line",
        ),
        ("config.txt", b"kernel=vmlinuz\n", "arm_64bit=1"),
    ];
    for (name, bytes, expected) in cases {
        let mut files = good_files();
        files.insert(name.into(), bytes.to_vec());
        let found = problems(&files, FAT32_LBA);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{name}: {found:?}"
        );
    }
}

/// An image with two slots of which the first is filled; `change` may spoil it.
fn slot_problems(
    change: impl FnOnce(&mut Files, &mut Files, &mut Vec<(u64, [u8; 512])>),
) -> Vec<String> {
    let layout = Ab::new(36 << 20, 4 << 20);
    let mut tables = layout.tables(0xabcd);
    let mut files = good_files();
    let line = format!("bakelite.disk=0000abcd bakelite.root={}\n", "0".repeat(64));
    files.insert("cmdline.txt".into(), line.into_bytes());
    let mut first = Files::from([(autoboot::FILE.to_owned(), Autoboot::new(2, 3).to_file())]);
    first.extend(files.remove_entry("bootcode.bin"));
    change(&mut first, &mut files, &mut tables);
    let mut disk = Cursor::new(vec![0; usize::try_from(layout.image_size()).unwrap()]);
    let volume = fat::Volume {
        label: "bootfs",
        id: 1,
        timestamp: 0,
    };
    for ((offset, size), files) in [(layout.selector(), &first), (layout.boot(0), &files)] {
        fat::write(&mut disk, offset, size, volume, files).unwrap();
    }
    for (offset, sector) in tables {
        let at = usize::try_from(offset).unwrap();
        disk.get_mut()[at..at + 512].copy_from_slice(&sector);
    }
    match BootPartition::read(&mut disk) {
        Ok(boot) => check(&boot, &["pi3".to_owned(), "pi4".to_owned()]),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn two_slots_start_every_board() {
    assert_eq!(slot_problems(|_, _, _| {}), Vec::<String>::new());
}

#[test]
fn what_keeps_a_device_with_two_slots_from_starting_is_told() {
    let one = |problems: Vec<String>, part: &str| {
        assert!(!problems.is_empty(), "{part}");
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part}: {problems:?}"
        );
    };
    one(
        slot_problems(|first, _, _| drop(first.remove("bootcode.bin"))),
        "bootcode.bin is missing or empty on the first",
    );
    one(
        slot_problems(|_, boot, _| drop(boot.remove("start4.elf"))),
        "start4.elf is missing",
    );
    let long = "#".repeat(600).into_bytes();
    let long = [&b"boot_partition=2\n"[..], &long].concat();
    one(
        slot_problems(|first, _, _| drop(first.insert(autoboot::FILE.into(), long))),
        "the firmware reads 512",
    );
    let to_nowhere = Autoboot::new(9, 3).to_file();
    one(
        slot_problems(|first, _, _| drop(first.insert(autoboot::FILE.into(), to_nowhere))),
        "chooses partition 9",
    );
    let to_a_root = Autoboot::new(5, 3).to_file();
    one(
        slot_problems(|first, _, _| drop(first.insert(autoboot::FILE.into(), to_a_root))),
        "chooses partition 5",
    );
    let other = format!("bakelite.disk=00001234 bakelite.root={}\n", "0".repeat(64)).into_bytes();
    one(
        slot_problems(|_, boot, _| drop(boot.insert("cmdline.txt".into(), other))),
        "does not say bakelite.disk=0000abcd",
    );
    let no_root = b"bakelite.disk=0000abcd\n".to_vec();
    one(
        slot_problems(|_, boot, _| drop(boot.insert("cmdline.txt".into(), no_root))),
        "no bakelite.root=",
    );
    // The entries of the second and third partition changed places.
    let swap = |_: &mut Files, _: &mut Files, tables: &mut Vec<(u64, [u8; 512])>| {
        let table = &mut tables[0].1;
        let (second, third) = (table[462..478].to_vec(), table[478..494].to_vec());
        table[462..478].copy_from_slice(&third);
        table[478..494].copy_from_slice(&second);
    };
    // Partition 2 is then the empty slot: nothing there to start.
    assert!(!slot_problems(swap).is_empty());
}
