//! Images go to real block devices: loops of the kernel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use artifact_manifest::{ArtifactManifest, Role};
use bakelite_tests::bakelite::{command, root, text, tool};
use content_digest::Sha256Digest;
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

/// A build's folder with its manifest, sums, and signatures of both kinds, by tools of others.
fn build(folder: &Path) -> (PathBuf, PathBuf) {
    let build = folder.join("build");
    fs_err::create_dir(&build).unwrap();
    let plain = image(&build);
    let (good, said) = tool("zstd", &["--quiet", "--rm", "-3", path(&plain)]);
    assert!(good, "{said}");
    let file = build.join("x.img.zst");
    let (sha256, size) = Sha256Digest::of_file(&file).unwrap();
    let golden = include_str!("../../formats/artifact-manifest/golden/manifest-1.json");
    let mut manifest = ArtifactManifest::from_json(golden).unwrap();
    manifest.files.retain(|file| file.role == Role::Image);
    manifest.files[0].name = "x.img.zst".into();
    (manifest.files[0].sha256, manifest.files[0].size) = (sha256, size);
    manifest.files[0].extracted = None;
    fs_err::write(build.join("manifest.json"), manifest.to_json()).unwrap();
    let key = folder.join("key");
    let script = format!(
        "cd {build} && sha256sum manifest.json x.img.zst >SHA256SUMS && ssh-keygen -q -t ed25519 -N '' -C maker@example -f {key} && ssh-keygen -q -Y sign -n file -f {key} SHA256SUMS",
        build = path(&build),
        key = path(&key)
    );
    let (good, said) = tool("sh", &["-c", &script]);
    assert!(good, "{said}");
    (build, key)
}

fn written(disk: &Loop, build: &Path) -> bool {
    let image = zstd::decode_all(fs_err::File::open(build.join("x.img.zst")).unwrap()).unwrap();
    fs_err::read(&disk.file).unwrap()[..image.len()] == image[..]
}

#[test]
fn only_what_a_known_key_signed_is_written_if_that_is_asked_for() {
    let folder = folder();
    let (build, key) = build(folder.path());
    let public = key.with_extension("pub");
    let disk = Loop::new(folder.path(), "disk", 16 << 20);
    let record = folder.path().join("log.jsonl");
    let signed = |key: &Path, more: &[&str]| {
        let arguments = [&["--signed-by", path(key)], more].concat();
        write(&build, &disk.node, &arguments)
    };
    let is_untouched = || {
        fs_err::read(&disk.file)
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    };

    // Another's key, a file without one, and no signature at all.
    let other = folder.path().join("other");
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-f", path(&other)];
    assert!(tool("ssh-keygen", &arguments).0);
    for (key, code, part) in [
        (
            other.with_extension("pub"),
            3,
            "not by a key that you named",
        ),
        (build.join("manifest.json"), 2, "no public key"),
        (folder.path().join("none"), 2, "cannot read"),
    ] {
        let output = signed(&key, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(part), "{}", text(&output));
        assert!(is_untouched());
    }
    // By minisign, whose own program signs.
    let script = format!(
        "cd {} && minisign -G -W -p {f}/mini.pub -s {f}/mini.key >/dev/null && mv SHA256SUMS.sig {f} && minisign -S -W -s {f}/mini.key -m SHA256SUMS",
        path(&build),
        f = path(folder.path())
    );
    let output = |part: &str, output: std::process::Output| {
        assert!(
            !output.status.success() && text(&output).contains(part),
            "{}",
            text(&output)
        );
    };
    let (good, said) = tool("sh", &["-c", &script]);
    assert!(good, "{said}");
    output("not by a key that you named", signed(&public, &[]));
    let by_minisign = signed(&folder.path().join("mini.pub"), &[]);
    assert!(by_minisign.status.success(), "{}", text(&by_minisign));
    assert!(written(&disk, &build));
    fs_err::remove_file(build.join("SHA256SUMS.minisig")).unwrap();
    output("is not signed", signed(&public, &[]));
    fs_err::copy(
        folder.path().join("SHA256SUMS.sig"),
        build.join("SHA256SUMS.sig"),
    )
    .unwrap();

    // As it should be; and the record says whose signature it was, and is signed itself.
    let key_path = path(&key).to_owned();
    let good = signed(
        &public,
        &["--record", path(&record), "--sign-record", &key_path],
    );
    assert!(good.status.success(), "{}", text(&good));
    assert!(
        text(&good).contains("signed by maker@example"),
        "{}",
        text(&good)
    );
    let line = flash_record::lines(&fs_err::read_to_string(&record).unwrap())
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(line.record.signed_by.as_deref(), Some("maker@example"));
    // ssh-keygen itself is the judge of that.
    let (bytes, armoured) = line.signed.unwrap();
    fs_err::write(folder.path().join("record"), bytes).unwrap();
    fs_err::write(folder.path().join("record.sig"), armoured).unwrap();
    let script = format!(
        "cd {} && echo \"maker $(cat key.pub)\" >allowed && ssh-keygen -Y verify -n bakelite-flash-record -f allowed -I maker -s record.sig <record",
        path(folder.path())
    );
    let (good, said) = tool("sh", &["-c", &script]);
    assert!(good, "{said}");

    // The manifest or the image changed behind the signature.
    for (name, part) in [
        ("manifest.json", "not the file that was signed"),
        ("x.img.zst", "was changed"),
    ] {
        let file = build.join(name);
        let before = fs_err::read(&file).unwrap();
        let mut changed = before.clone();
        let last = changed.len() - 1;
        changed[last] ^= if name == "manifest.json" {
            b'\n' ^ b' '
        } else {
            1
        };
        fs_err::write(&file, changed).unwrap();
        output(part, signed(&public, &[]));
        fs_err::write(&file, before).unwrap();
    }
}

#[test]
fn an_image_is_fetched_checked_and_kept_before_a_disk_is_opened() {
    let folder = folder();
    let (build, key) = build(folder.path());
    let public = key.with_extension("pub");
    let asked = Arc::new(AtomicU64::new(0));
    let (served, counted) = (build.clone(), Arc::clone(&asked));
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let bytes = fs_err::read(served.join(&name)).ok();
        let range = request
            .headers()
            .get("range")
            .map(|it| it.to_str().unwrap().to_owned());
        let is_image = name.ends_with(".zst") && request.method() == "GET";
        // The first answer with an image ends early.
        let is_cut = is_image && counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let Some(bytes) = bytes else {
                return (axum::http::StatusCode::NOT_FOUND, Vec::new());
            };
            let from = range.as_deref();
            let from =
                from.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            let status = match from {
                None => axum::http::StatusCode::OK,
                Some(_) => axum::http::StatusCode::PARTIAL_CONTENT,
            };
            let mut body = bytes[from.unwrap_or(0)..].to_vec();
            if is_cut {
                body.truncate(body.len() / 2);
            }
            (status, body)
        }
    });
    let address = bakelite_tests::serve::on_loopback(router);
    let cache = folder.path().join("cache");
    let flash = |image: &str, disk: &Loop, more: &[&str]| {
        let arguments = [
            "--cache",
            path(&cache),
            "flash",
            image,
            path(&disk.node),
            "--yes",
            "--unusual",
        ];
        command(&[&arguments[..], more].concat()).output().unwrap()
    };
    let disk = Loop::new(folder.path(), "disk", 16 << 20);
    for (image, fetches) in [("releases/1.0/", 2), ("releases/1.0/x.img.zst", 2)] {
        let image = format!("http://{address}/{image}");
        let output = flash(&image, &disk, &["--signed-by", path(&public)]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(written(&disk, &build));
        // The cut one was gone on with; the second time nothing was fetched again.
        assert_eq!(
            asked.load(Ordering::SeqCst),
            fetches,
            "{image}: {}",
            text(&output)
        );
    }
    // A server with another image than its manifest says, and one that has none.
    let other = Loop::new(folder.path(), "other", 16 << 20);
    let refused = |image: &str, part: &str| {
        let output = flash(image, &other, &[]);
        assert!(
            !output.status.success() && text(&output).contains(part),
            "{}",
            text(&output)
        );
        assert!(
            fs_err::read(&other.file)
                .unwrap()
                .iter()
                .all(|byte| *byte == 0),
            "{part}"
        );
    };
    fs_err::remove_dir_all(&cache).unwrap();
    let before = fs_err::read(build.join("x.img.zst")).unwrap();
    let mut bytes = before.clone();
    bytes[100] ^= 1;
    fs_err::write(build.join("x.img.zst"), bytes).unwrap();
    refused(&format!("http://{address}/1.0/"), "its SHA-256 is");
    fs_err::write(build.join("x.img.zst"), before).unwrap();
    refused(&format!("http://{address}/1.0/none.img"), "404");
    refused("http://example.invalid/x.img", "by https alone");
    fs_err::remove_file(build.join("manifest.json")).unwrap();
    refused(&format!("http://{address}/1.0/"), "has no manifest.json");
}

#[test]
fn the_log_is_searched_checked_and_exported() {
    let folder = folder();
    let (build, key) = build(folder.path());
    let log = folder.path().join("log.jsonl");
    let signed = [
        "--record",
        path(&log),
        "--sign-record",
        path(&key),
        "--operator",
        "Ada, \"the\" maker",
    ];
    let disk = Loop::new(folder.path(), "disk", 16 << 20);
    let small = Loop::new(folder.path(), "small", 8 << 20);
    for disk in [&disk, &small] {
        write(&build, &disk.node, &signed);
    }
    let ask = |more: &[&str]| {
        command(&[&["flash-log", path(&log)], more].concat())
            .output()
            .unwrap()
    };
    let output = ask(&["--signed-by", path(&key.with_extension("pub"))]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("2 records, 1 failed"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("maker@example"), "{}", text(&output));
    let failed = text(&ask(&["--failed"]));
    assert!(
        failed.contains("does not fit") && failed.contains("1 records"),
        "{failed}"
    );
    let none = text(&ask(&["--serial", "nobody"]));
    assert!(none.contains("0 records"), "{none}");
    // A spreadsheet reads what it is meant to: Python's reader is the judge.
    let csv = ask(&["--csv"]);
    let table = folder.path().join("log.csv");
    fs_err::write(&table, &csv.stdout).unwrap();
    let script = "import csv,sys; rows=list(csv.DictReader(open(sys.argv[1], newline=''))); print(len(rows), rows[0]['operator'], rows[0]['result'], rows[1]['reason'])";
    let (good, said) = tool("python3", &["-c", script, path(&table)]);
    assert!(
        good && said.starts_with("2 Ada, \"the\" maker verified the image has"),
        "{said}"
    );
    // A word changed behind the signature.
    let changed = fs_err::read_to_string(&log).unwrap().replace("Ada", "Eve");
    fs_err::write(&log, changed).unwrap();
    let output = ask(&["--signed-by", path(&key.with_extension("pub"))]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("does not fit"), "{}", text(&output));
}
