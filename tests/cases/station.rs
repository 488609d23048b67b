//! Disks on real buses: USB sticks and SD cards of a virtual machine, pulled out, mounted, swapped, counterfeit; and a
//! board in USB boot mode behind the kernel's own USB stack.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bakelite_tests::bakelite::{root, tool};
use bakelite_tests::station::{Drive, Station};
use bakelite_tests::terminal;
use boot_partition::fat;
use boot_partition::mbr::{Mbr, Partition, SECTOR};
use content_digest::Sha256Digest;
use device_settings::DeviceSettings;

const START: u64 = 1 << 20;
const BOOT: u64 = 34 << 20;

fn folder() -> tempfile::TempDir {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    tempfile::tempdir_in(root().join("target/tests")).unwrap()
}

/// An image as the builder's: a boot partition that takes settings, data, and a hole that its block map leaves out.
fn image(folder: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let mut files = fat::Files::new();
    files.insert("config.txt".into(), b"arm_64bit=1\n".to_vec());
    files.insert(device_settings::FILE.into(), device_settings::example());
    let mut disk = Cursor::new(vec![0; usize::try_from(START + BOOT).unwrap()]);
    let volume = fat::Volume {
        label: "BOOT",
        id: 7,
        timestamp: 1_789_199_741,
    };
    fat::write(&mut disk, START, BOOT, volume, &files).unwrap();
    let mut bytes = disk.into_inner();
    let table = Mbr {
        signature: 1,
        partitions: vec![Partition {
            kind: 0x0c,
            first: u32::try_from(START / SECTOR).unwrap(),
            sectors: u32::try_from(BOOT / SECTOR).unwrap(),
        }],
    };
    bytes[..512].copy_from_slice(&table.to_sector());
    bytes.extend((0..1 << 20).flat_map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()));
    let image = folder.join("x.img");
    fs_err::write(&image, &bytes).unwrap();
    let path = image.to_str().unwrap();
    let map = folder.join("x.bmap");
    for (program, arguments) in [
        ("fallocate", vec!["--dig-holes", path]),
        (
            "bmaptool",
            vec!["create", "--output", map.to_str().unwrap(), path],
        ),
        ("zstd", vec!["--quiet", "--rm", "-3", path]),
    ] {
        let (good, said) = tool(program, &arguments);
        assert!(good, "{program}: {said}");
    }
    (folder.join("x.img.zst"), map, bytes)
}

/// What the boot partition of a disk says, and whether all else that the image has is there.
fn settings_of(disk: &[u8], image: &[u8]) -> DeviceSettings {
    let files = fat::read(&mut Cursor::new(disk), START, BOOT).unwrap();
    let text = std::str::from_utf8(&files[device_settings::FILE]).unwrap();
    let mut place = Cursor::new(disk);
    let extents = fat::find(&mut place, START, BOOT, device_settings::FILE);
    let mut same = disk[..image.len()].to_vec();
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    for (at, length) in extents.unwrap().unwrap() {
        let (at, length) = (
            usize::try_from(at).unwrap(),
            usize::try_from(length).unwrap(),
        );
        same[at..at + length].copy_from_slice(&image[at..at + length]);
    }
    // What the map leaves out is old data.
    for (found, expected) in same.chunks(4096).zip(image.chunks(4096)) {
        assert!(
            found == expected || is_zero(expected),
            "something else is written"
        );
    }
    DeviceSettings::read(text).unwrap()
}

/// Keeps a picture of what is seen for the documents where `BAKELITE_PICTURES` names a folder.
#[expect(clippy::disallowed_methods, reason = "tests read the environment")]
fn keep(name: &str, seen: &[&str]) {
    if let Ok(folder) = std::env::var("BAKELITE_PICTURES") {
        let seen = seen.concat();
        let seen = seen.split("ended ").next().unwrap();
        fs_err::write(Path::new(&folder).join(name), terminal::picture(seen)).unwrap();
    }
}

#[test]
fn sticks_and_cards_are_told_apart_written_at_once_and_one_that_is_pulled_out_fails_alone() {
    let folder = folder();
    let (file, map, image) = image(folder.path());
    let drives = [
        Drive::Stick("GOOD", 1),
        Drive::SlowStick("PULLED", 2, 1_500_000),
        Drive::Card("card"),
    ];
    let files = [("/x.img.zst", &*file), ("/x.bmap", &*map)];
    let mut station = Station::start(folder.path(), &drives, &files);
    let said = station.must("bakelite devices");
    assert!(
        said.contains("serial GOOD") && said.contains("serial PULLED"),
        "{said}"
    );
    assert!(said.contains("mmcblk"), "{said}");
    let json = station.must("bakelite --json devices");
    let answer = json.lines().rfind(|line| !line.is_empty()).unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let disks = answer["answer"]["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 3, "{json}");
    let port = |serial: &str| {
        let is_it = |disk: &&serde_json::Value| disk["serial"] == serial;
        disks.iter().find(is_it).unwrap()["port"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // By what production knows: a port, a serial number, and the slot's name.
    let good = port("GOOD");
    let script = "bakelite flash /x.img.zst $(ls -d /dev/mmcblk?) $(readlink -f /dev/sda) /dev/sdb --yes --record /tmp/log --hostname 'kvm-{n}' --claim-code new --operator Ada > /tmp/said 2>&1; echo $? > /tmp/status";
    station.must(&format!("({script}) < /dev/null > /dev/null 2>&1 &"));
    // It is in the middle when there is something behind its head.
    let until = Instant::now() + Duration::from_mins(2);
    while station.disk("PULLED")[1 << 20..2 << 20]
        .iter()
        .all(|byte| *byte == 0xaa)
    {
        assert!(Instant::now() < until, "{}", station.must("cat /tmp/said"));
        std::thread::sleep(Duration::from_millis(100));
    }
    station.unplug("PULLED");
    let said = station.must(
        "while [ ! -s /tmp/status ]; do sleep 0.2; done; cat /tmp/said /tmp/log /tmp/status; sync",
    );
    assert!(said.trim().ends_with('3'), "{said}");
    assert!(said.contains("It does not boot"), "{said}");
    assert!(
        station.disk("PULLED")[..512].iter().all(|byte| *byte == 0),
        "it boots"
    );
    let records: Vec<_> = flash_record::lines(&said)
        .flatten()
        .map(|line| line.record)
        .collect();
    let of = |name: &str| {
        let is_it = |record: &&flash_record::FlashRecord| match name {
            "card" => record.device.bus == "mmc",
            serial => record.device.serial.as_deref() == Some(serial),
        };
        records.iter().find(is_it).unwrap()
    };
    assert_eq!(of("PULLED").result, flash_record::Outcome::Failed);
    for name in ["GOOD", "card"] {
        let record = of(name);
        assert_eq!(record.result, flash_record::Outcome::Verified, "{said}");
        assert_eq!(record.operator.as_deref(), Some("Ada"));
        let settings = settings_of(&station.disk(name), &image);
        assert_eq!(settings.host_name.map(String::from), record.hostname);
        let code = settings.claim_code.unwrap();
        assert!(
            said.contains(&format!(": {}", code.reveal())),
            "it is told once"
        );
        assert!(
            !serde_json::to_string(record)
                .unwrap()
                .contains(code.reveal())
        );
    }
    assert_eq!(of("GOOD").device.port.as_deref(), Some(&*good));
}

#[test]
fn a_person_sees_what_is_overwritten_and_a_stick_that_was_swapped_meanwhile_is_not() {
    let folder = folder();
    let (file, map, image) = image(folder.path());
    // Slow enough that somebody sees how far it is.
    let drives = [
        Drive::Stick("FIRST", 1),
        Drive::SlowStick("SECOND", 2, 2_000_000),
    ];
    let files = [("/kvm-0.1.0.img.zst", &*file), ("/kvm-0.1.0.bmap", &*map)];
    let mut station = Station::start(folder.path(), &drives, &files);
    station.unplug("SECOND");
    station.must("while [ -e /dev/sdb ]; do sleep 0.1; done");
    // As it is typed, and as it is seen.
    let ask = "(export TERM=linux; setsid -c sh -c 'type() { echo \"\\$ $*\"; \"$@\"; }; cd /; stty cols 100 rows 30; type bakelite devices; echo; type bakelite flash kvm-0.1.0.img.zst /dev/sda; echo ended $?; sleep 1' < /dev/ttyS1 > /dev/ttyS1 2>&1) &";
    station.must(ask);
    let seen = station.see("Type yes to overwrite it");
    assert!(
        seen.contains("serial FIRST") && seen.contains("64.0 MiB"),
        "{seen}"
    );
    station.type_in("no\n");
    assert!(station.see("ended 2").contains("nothing was written"));
    assert!(
        station.disk("FIRST")[..4096] == [0xaa; 4096],
        "written all the same"
    );

    // Another one behind the same name, while somebody reads the question.
    station.must(ask);
    let asked = station.see("Type yes to overwrite it");
    station.unplug("FIRST");
    station.must("while [ -e /dev/sda ]; do sleep 0.1; done");
    station.plug("SECOND", 3);
    station.must("while [ ! -e /dev/sda ]; do sleep 0.1; done; grep -q . /sys/block/sda/size");
    station.type_in("yes\n");
    let seen = station.see("ended 1");
    keep("flash-swapped.png", &[&asked, &seen]);
    assert!(seen.contains("not the disk any more"), "{seen}");
    assert!(
        station.disk("SECOND")[..4096] == [0xaa; 4096],
        "the other one was written"
    );

    // And the right one, with the progress that somebody sees.
    station.must(ask);
    let asked = station.see("Type yes to overwrite it");
    assert!(asked.contains("serial SECOND"), "{asked}");
    station.type_in("yes\n");
    let working = station.see("MiB/s, ");
    keep("flash-progress.png", &[&asked, &working]);
    let seen = working + &station.see("ended 0");
    keep("flash-done.png", &[&asked, &seen]);
    assert!(seen.contains("written and read back"), "{seen}");
    station.must("sync");
    assert!(settings_of(&station.disk("SECOND"), &image).is_empty());
}

#[test]
fn used_disks_of_similar_names_counterfeit_ones_and_bad_sectors_are_found() {
    let folder = folder();
    let (file, map, _) = image(folder.path());
    let files = [("/x.img.zst", &*file), ("/x.bmap", &*map)];
    let mut station = Station::start(folder.path(), &[], &files);
    let load = |options: &str| {
        format!(
            "for module in $(cat /modules/*-scsi_debug.list); do insmod /modules/$module {options} 2>/dev/null; done; while [ ! -b /dev/sda ]; do sleep 0.2; done"
        )
    };
    let flash = "bakelite flash /x.img.zst --yes --unusual";

    // 28 disks: sda … sdz, sdaa, sdab. One of them is mounted.
    station.must(&load("add_host=28 per_host_store=1 dev_size_mb=40"));
    station.must("while [ ! -b /dev/sdab ]; do sleep 0.2; done; mkdosfs /dev/sdaa; mount -t vfat /dev/sdaa /mnt");
    let (status, said) = station.run(&format!("{flash} /dev/sdaa"));
    assert!(status == 2 && said.contains("mounted at /mnt"), "{said}");
    let (status, said) = station.run(&format!("{flash} /dev/sda"));
    assert_eq!(status, 0, "{said}");
    station.must("umount /mnt; blockdev --rereadpt /dev/sda; mount -t vfat /dev/sda1 /mnt");
    let (status, said) = station.run(&format!("{flash} /dev/sda"));
    assert!(status == 2 && said.contains("mounted at /mnt"), "{said}");
    let (status, said) = station.run(&format!("{flash} /dev/sdaa"));
    assert_eq!(status, 0, "{said}");
    station.must("umount /mnt; rmmod scsi_debug");

    // Says that it has a gigabyte, and begins again after 8 MiB.
    station.must(&load("virtual_gb=1 dev_size_mb=8"));
    let (status, said) = station.run(&format!("{flash} /dev/sda --probe-capacity"));
    assert!(status == 3 && said.contains("counterfeit"), "{said}");
    let (status, said) = station.run(&format!("{flash} /dev/sda --no-bmap"));
    assert!(status == 3 && said.contains("gives back"), "{said}");
    let first = station.must("head -c 512 /dev/sda | od -An -v -tx1 | tr -d ' 0\\n' | wc -c");
    assert_eq!(first.trim(), "0", "it boots");
    station.must("rmmod scsi_debug");

    // A sector that cannot be read any more: the kernel's own number of it is 0x1234.
    station.must(&load("dev_size_mb=40 opts=2"));
    let (status, said) = station.run(&format!("{flash} /dev/sda --no-bmap --record /tmp/log"));
    assert!(status == 3 && said.contains("failed at byte"), "{said}");
    let log = station.must("cat /tmp/log");
    let record = flash_record::lines(&log).flatten().next().unwrap().record;
    assert_eq!(record.result, flash_record::Outcome::Failed);
}

#[test]
fn a_board_in_usb_boot_mode_is_taken_through_both_stages_and_its_storage_written() {
    let folder = folder();
    let (file, map, image) = image(folder.path());
    let boot = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).unwrap();
        path
    };
    let stage: Vec<u8> = (0..105_984_u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    let system: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let code = boot("bootcode4.bin", &stage);
    let config = boot("config.txt", b"boot_ramdisk=1\n");
    let large = boot("boot.img", &system);
    let files = [
        ("/x.img.zst", &*file),
        ("/x.bmap", &*map),
        ("/boot/bootcode4.bin", &*code),
        ("/boot/config.txt", &*config),
        ("/boot/boot.img", &*large),
        ("/bin/usb-board", Path::new(env!("CARGO_BIN_EXE_usb-board"))),
    ];
    let mut station = Station::start(folder.path(), &[], &files);
    let (status, said) = station.run("bakelite usb-boot /boot");
    assert!(status == 2 && said.contains("nRPIBOOT"), "{said}");
    station.must(
        "for module in $(cat /modules/*-dummy_hcd.list); do insmod /modules/$module 2>/dev/null; done
        mkdir -p /sys/kernel/config/usb_gadget/board/functions/ffs.board
        mount -t functionfs board /ffs
        head -c 67108864 /dev/zero > /run/emmc
        usb-board /run/emmc /tmp/board.log > /tmp/board.err 2>&1 &
        for look in $(seq 100); do bakelite devices | grep -q BCM2711 && break; sleep 0.3; done",
    );
    let said = station.must("bakelite devices; cat /tmp/board.err");
    assert!(
        said.contains("BCM2711") && said.contains("waits in USB boot mode"),
        "{said}"
    );
    // The wrong files first: nothing is sent, and the board still waits.
    let (status, said) = station.run("mkdir /none; bakelite usb-boot /none");
    assert!(status == 1 && said.contains("bootcode4.bin"), "{said}");
    let (status, said) = station.run(
        "bakelite flash /x.img.zst --usb-boot /boot --yes --record /tmp/log; status=$?; cat /tmp/board.err /tmp/board.log /tmp/log; sync; exit $status",
    );
    assert_eq!(status, 0, "{said}");
    let digest = |bytes: &[u8]| Sha256Digest::of(bytes);
    for line in [
        format!("second-stage {} {}", stage.len(), digest(&stage)),
        "config.txt-size 15".to_owned(),
        format!("config.txt 15 {}", digest(b"boot_ramdisk=1\n")),
        format!("missing.bin 0 {}", digest(b"")),
        format!("boot.img {} {}", system.len(), digest(&system)),
    ] {
        assert!(said.contains(&line), "{line} is not in\n{said}");
    }
    let record = flash_record::lines(&said).flatten().next().unwrap().record;
    assert_eq!(record.result, flash_record::Outcome::Verified);
    assert_eq!(record.board["SERIAL_NUM"], "10000000abcdef01");
    assert!(record.serials().any(|serial| serial == "10000000abcdef01"));
    let last = image.len() - (1 << 20);
    let there = station.must(&format!(
        "dd if=/run/emmc bs=1M skip={} count=1 2>/dev/null | sha256sum",
        last >> 20
    ));
    assert!(
        there.contains(&digest(&image[last..]).to_string()),
        "{there}"
    );
    let (status, said) = station.run("bakelite usb-boot /boot");
    assert!(status == 2 && said.contains("lose its power"), "{said}");
}
