//! Images go to real block devices: loops of the kernel.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bakelite_tests::bakelite::{command, root, text, tool};
use flash::device::Places;
use flash::write::{Disk, OpenError};
use flash::{Device, Devices};

/// A loop device. It goes when this is dropped.
struct Loop {
    node: PathBuf,
    file: PathBuf,
}

impl Loop {
    fn new(folder: &Path, name: &str, size: u64) -> Self {
        let file = folder.join(name);
        fs_err::File::create(&file).unwrap().set_len(size).unwrap();
        Self::of(&file)
    }

    fn of(file: &Path) -> Self {
        let (good, said) = tool("losetup", &["--find", "--show", "--partscan", path(file)]);
        assert!(good, "{said}");
        Self {
            node: said.trim().into(),
            file: file.to_owned(),
        }
    }

    fn device(&self) -> Device {
        let devices = Devices::scan(&Places::default()).unwrap();
        devices.find(&self.node).unwrap().clone()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", &["--detach", path(&self.node)]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn folder() -> tempfile::TempDir {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    tempfile::tempdir_in(root().join("target/tests")).unwrap()
}

/// A disk of 12 MiB with a partition table, data, and a hole in the middle.
fn image(folder: &Path) -> PathBuf {
    let mut bytes: Vec<u8> = (0..3_145_728_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    bytes[4 << 20..8 << 20].fill(0);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let file = folder.join("x.img");
    fs_err::write(&file, bytes).unwrap();
    assert!(tool("fallocate", &["--dig-holes", path(&file)]).0);
    file
}

fn write(image: &Path, node: &Path, more: &[&str]) -> std::process::Output {
    let mut arguments = vec!["flash", path(image), path(node), "--yes", "--unusual"];
    arguments.extend(more);
    command(&arguments).output().unwrap()
}

#[test]
fn every_kind_of_file_becomes_the_same_disk_with_a_block_map_and_without() {
    let folder = folder();
    let image = image(folder.path());
    let whole = fs_err::read(&image).unwrap();
    let plain = |name: &str| folder.path().join(name);
    for (program, arguments) in [
        ("xz", ["--keep", "--fast", "--threads=2"]),
        ("zstd", ["--keep", "--quiet", "-3"]),
        ("gzip", ["--keep", "--fast", "--force"]),
        ("bmaptool", ["create", "--output", path(&plain("x.bmap"))]),
    ] {
        let (good, said) = tool(program, &[&arguments[..], &[path(&image)]].concat());
        assert!(good, "{program}: {said}");
    }
    let record = plain("log.jsonl");
    for name in ["x.img", "x.img.xz", "x.img.zst", "x.img.gz"] {
        for more in [&[][..], &["--no-bmap"], &["--no-verify"]] {
            let disk = Loop::new(folder.path(), "disk", 16 << 20);
            fs_err::write(&disk.file, vec![0xaa; 16 << 20]).unwrap();
            let mut arguments = vec!["--record", path(&record)];
            arguments.extend(more);
            let output = write(&plain(name), &disk.node, &arguments);
            assert!(
                output.status.success(),
                "{name} {more:?}: {}",
                text(&output)
            );
            let written = fs_err::read(&disk.file).unwrap();
            let hole = 4 << 20..8 << 20;
            assert!(
                written[..hole.start] == whole[..hole.start],
                "{name} {more:?}"
            );
            assert!(
                written[hole.end..whole.len()] == whole[hole.end..],
                "{name} {more:?}"
            );
            if more == ["--no-bmap"] {
                assert!(written[hole.clone()] == whole[hole], "{name}");
            }
        }
    }
    let records = fs_err::read_to_string(record).unwrap();
    let results: Vec<String> = records
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["result"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(results.len(), 12);
    assert_eq!(results[..3], ["verified", "verified", "written"]);
}

#[test]
fn several_disks_are_written_at_once_and_one_that_is_too_small_fails_alone() {
    let folder = folder();
    let image = image(folder.path());
    let disks: Vec<Loop> = (0..4)
        .map(|number| Loop::new(folder.path(), &format!("disk{number}"), 16 << 20))
        .collect();
    let small = Loop::new(folder.path(), "small", 8 << 20);
    let mut arguments = vec!["flash", path(&image), "--yes", "--unusual"];
    arguments.extend(disks.iter().map(|disk| path(&disk.node)));
    arguments.push(path(&small.node));
    let output = command(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("does not fit"), "{}", text(&output));
    let whole = fs_err::read(&image).unwrap();
    for disk in &disks {
        assert!(fs_err::read(&disk.file).unwrap()[..whole.len()] == whole[..]);
    }
    assert!(
        fs_err::read(&small.file)
            .unwrap()
            .iter()
            .all(|byte| *byte == 0),
        "touched"
    );
}

#[test]
fn disks_that_are_used_parts_of_disks_and_other_disks_are_refused() {
    let folder = folder();
    let image = image(folder.path());
    let refused = |node: &Path, part: &str| {
        let output = write(&image, node, &[]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(part), "{}", text(&output));
    };
    refused(Path::new("/dev/null"), "is no disk");
    refused(&image, "is no disk");

    // The disk of the running system, whatever its name is.
    let devices = Devices::scan(&Places::default()).unwrap();
    let is_root = |device: &&Device| {
        let mut uses = device.uses.iter().map(ToString::to_string);
        uses.any(|one| one == "mounted at /")
    };
    if let Some(device) = devices.all().iter().find(is_root) {
        refused(&device.node, "is never written");
    }

    // A file system on a partition of a disk, mounted.
    let disk = Loop::new(folder.path(), "disk", 32 << 20);
    let script = format!(
        "echo 'label: dos\nstart=2048, type=83' | sfdisk --quiet {}",
        path(&disk.node)
    );
    let (good, said) = tool("sh", &["-c", &script]);
    assert!(good, "{said}");
    tool("partx", &["--update", path(&disk.node)]);
    let partition = PathBuf::from(format!("{}p1", path(&disk.node)));
    let (good, said) = tool("mkfs.ext4", &["-q", path(&partition)]);
    assert!(good, "{said}");
    refused(&partition, "is a partition");
    let at = folder.path().join("at");
    fs_err::create_dir(&at).unwrap();
    let (good, said) = tool("mount", &[path(&partition), path(&at)]);
    assert!(good, "{said}");
    let before = fs_err::read(&disk.file).unwrap()[..512].to_vec();
    refused(&disk.node, "mounted at");
    let unmounted = tool("umount", &[path(&at)]);
    assert!(unmounted.0, "{}", unmounted.1);
    assert_eq!(fs_err::read(&disk.file).unwrap()[..512], before);

    // Another medium behind the name that was chosen.
    drop(disk);
    let other = Loop::new(folder.path(), "other", 64 << 20);
    let chosen = other.device();
    let file = fs_err::OpenOptions::new().write(true).open(&other.file);
    file.unwrap().set_len(96 << 20).unwrap();
    let (good, said) = tool("losetup", &["--set-capacity", path(&other.node)]);
    assert!(good, "{said}");
    let opened = Disk::open(&chosen, true, &Places::default());
    assert!(matches!(opened, Err(OpenError::Changed(_))), "{opened:?}");
    let opened = Disk::open(&other.device(), false, &Places::default());
    assert!(
        matches!(opened, Err(OpenError::Refused { .. })),
        "{opened:?}"
    );
    // Open elsewhere.
    let held = Disk::open(&other.device(), true, &Places::default()).unwrap();
    let again = Disk::open(&other.device(), true, &Places::default());
    assert!(matches!(again, Err(OpenError::Busy(_))), "{again:?}");
    drop(held);
}

#[test]
fn a_killed_write_leaves_a_disk_that_does_not_boot_or_is_whole() {
    let folder = folder();
    let image = image(folder.path());
    let whole = fs_err::read(&image).unwrap();
    let disk = Loop::new(folder.path(), "disk", 16 << 20);
    let (mut empty, mut full) = (0, 0);
    for round in 0..24_u32 {
        // What boots now must not boot half written later.
        let began = Instant::now();
        let output = write(&image, &disk.node, &[]);
        let took = began.elapsed();
        assert!(output.status.success(), "{}", text(&output));
        let arguments = [
            "flash",
            path(&image),
            path(&disk.node),
            "--yes",
            "--unusual",
        ];
        let mut child = command(&arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(took * round / 22);
        child.kill().unwrap();
        child.wait().unwrap();
        let now = fs_err::read(&disk.file).unwrap();
        if now[..512] == whole[..512] {
            assert!(now[..whole.len()] == whole[..], "boots half written");
            full += 1;
        } else {
            assert!(
                now[..512].iter().all(|byte| *byte == 0),
                "something else boots"
            );
            empty += 1;
        }
    }
    assert!(
        empty > 0 && full > 0,
        "{empty} empty, {full} whole: the kills missed"
    );
}

/// A disk whose storage is full before it is written: the kernel gives errors, as for a dying card.
#[test]
fn a_disk_that_fails_is_named_and_does_not_boot() {
    let folder = folder();
    let image = image(folder.path());
    let small = folder.path().join("small");
    fs_err::create_dir(&small).unwrap();
    let mounted = tool(
        "mount",
        &["-t", "tmpfs", "-o", "size=6m", "tmpfs", path(&small)],
    );
    assert!(mounted.0, "{}", mounted.1);
    let disk = Loop::new(&small, "disk", 16 << 20);
    let good = Loop::new(folder.path(), "good", 16 << 20);
    let record = folder.path().join("log.jsonl");
    let more = [path(&good.node), "--record", path(&record), "--no-bmap"];
    let output = write(&image, &disk.node, &more);
    let first = fs_err::read(&disk.file).unwrap()[..512].to_vec();
    let probed = write(&image, &good.node, &["--probe-capacity"]);
    drop(disk);
    let unmounted = tool("umount", &[path(&small)]);
    assert!(unmounted.0, "{}", unmounted.1);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("failed at byte"),
        "{}",
        text(&output)
    );
    assert!(first.iter().all(|byte| *byte == 0), "it boots");
    let records = fs_err::read_to_string(record).unwrap();
    let results: Vec<bool> = records
        .lines()
        .map(|line| line.contains("\"result\":\"verified\""))
        .collect();
    assert_eq!(results, [false, true], "{records}");
    assert!(probed.status.success(), "{}", text(&probed));
}
