use std::io::{Cursor, Seek as _, Write as _};

use super::*;
use crate::partitions::fat::{self, Files};
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
            vec!["pi3: the firmware file bootcode.bin is missing or empty"],
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
