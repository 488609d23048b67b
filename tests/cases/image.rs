//! The image as other people's tools see it. `scripts/test` built `recipes/kvm.toml` before; how its slots are laid out is in
//! `slots.rs`.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bakelite_tests::bakelite::{cache, outputs, root, run, text, tool};

fn name(extension: &str) -> PathBuf {
    outputs("kvm").join(format!("kvm-0.1.0.{extension}"))
}

fn single(extension: &str) -> PathBuf {
    outputs("kvm-test").join(format!("kvm-test-0.1.0.{extension}"))
}

/// An image with one slot, decompressed once, and its two partitions as files of their own.
fn disk() -> &'static Path {
    static DISK: OnceLock<PathBuf> = OnceLock::new();
    DISK.get_or_init(|| {
        let folder = root()
            .join("target/tests")
            .join(format!("image-{}", std::process::id()));
        fs_err::create_dir_all(&folder).unwrap();
        let output = run(&["build", "recipes/kvm-test.toml"]);
        assert!(output.status.success(), "{}", text(&output));
        image_builder::disk::decompress(&single("img.zst"), &folder.join("disk.img"), 0).unwrap();
        let mut disk = fs_err::File::open(folder.join("disk.img")).unwrap();
        let mut sector = [0; 512];
        disk.read_exact(&mut sector).unwrap();
        let table = image_builder::partitions::mbr::Mbr::from_sector(&sector).unwrap();
        for (partition, file) in table.partitions.iter().zip(["boot.img", "root.img"]) {
            disk.seek(SeekFrom::Start(u64::from(partition.first) * 512))
                .unwrap();
            let mut part = fs_err::File::create(folder.join(file)).unwrap();
            std::io::copy(
                &mut std::io::Read::by_ref(&mut disk).take(u64::from(partition.sectors) * 512),
                &mut part,
            )
            .unwrap();
            part.flush().unwrap();
        }
        folder
    })
}

fn accepts(program: &str, arguments: &[&str]) -> String {
    let (good, text) = tool(program, arguments);
    assert!(good, "{program} {arguments:?}: {text}");
    text
}

fn path(file: &str) -> String {
    disk().join(file).to_str().unwrap().to_owned()
}

/// One test, so that the image is decompressed once (nextest runs each test in its own process).
#[test]
fn partition_and_file_system_tools_find_no_fault() {
    let table = accepts("sfdisk", &["--verify", &path("disk.img")]);
    assert!(table.contains("No errors detected"), "{table}");
    accepts("fsck.vfat", &["-n", &path("boot.img")]);
    accepts("e2fsck", &["-f", "-n", &path("root.img")]);
    let listing = accepts("mdir", &["-i", &path("boot.img"), "::"]);
    assert!(
        listing.to_lowercase().contains("config.txt") && listing.contains("bootfs"),
        "{listing}"
    );

    // bmaptool copies with its own checks; what it leaves out must not matter to the file systems.
    let copy = disk().join("copy.img");
    let noise = vec![0xa5; 1 << 20];
    let mut target = fs_err::File::create(&copy).unwrap();
    for _ in 0..fs_err::metadata(disk().join("disk.img")).unwrap().len() >> 20 {
        target.write_all(&noise).unwrap();
    }
    drop(target);
    accepts(
        "bmaptool",
        &[
            "copy",
            "--bmap",
            single("bmap").to_str().unwrap(),
            &path("disk.img"),
            copy.to_str().unwrap(),
        ],
    );
    let mut copy = fs_err::File::open(copy).unwrap();
    let boot = image_builder::firmware::BootPartition::read(&mut copy).unwrap();
    let boards = ["pi3", "zero2w", "pi4", "cm4"].map(str::to_owned);
    assert_eq!(
        image_builder::firmware::check(&boot, &boards),
        Vec::<String>::new()
    );
    let second = boot.table.partitions[1];
    copy.seek(SeekFrom::Start(u64::from(second.first) * 512))
        .unwrap();
    let mut part = fs_err::File::create(disk().join("copied-root.img")).unwrap();
    std::io::copy(&mut copy, &mut part).unwrap();
    drop(part);
    accepts("e2fsck", &["-f", "-n", &path("copied-root.img")]);
    fs_err::remove_dir_all(disk()).unwrap();
}

#[test]
fn sums_hold() {
    let folder = outputs("kvm");
    let (good, text) = tool(
        "sh",
        &[
            "-c",
            &format!("cd {} && sha256sum -c SHA256SUMS", folder.display()),
        ],
    );
    assert!(good, "{text}");
}

#[test]
fn verify_accepts_the_outputs_and_finds_a_flipped_bit() {
    let folder = outputs("kvm");
    let output = run(&["verify", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    let copy = tempfile::tempdir().unwrap();
    for entry in fs_err::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let list = copy.path().join("kvm-0.1.0.packages.tsv");
    let mut bytes = fs_err::read(&list).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&list, bytes).unwrap();
    let output = run(&["verify", copy.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output).contains("kvm-0.1.0.packages.tsv: its SHA-256 is"),
        "{}",
        text(&output)
    );
}

#[test]
fn inspect_says_which_boards_start() {
    let output = run(&["inspect", name("img.zst").to_str().unwrap()]);
    let text = text(&output);
    for board in ["pi3", "pi3-plus", "zero2w", "pi4", "pi400", "cm4"] {
        assert!(text.contains(&format!("{board}: starts vmlinuz")), "{text}");
    }
    assert!(text.contains("pi5: would not start"), "{text}");
}

#[test]
fn bills_of_materials_and_the_imager_manifest_are_valid() {
    let script = root().join("tests/validate.sh");
    let (good, text) = tool(
        "bash",
        &[
            script.to_str().unwrap(),
            outputs("kvm").to_str().unwrap(),
            "kvm-0.1.0",
        ],
    );
    assert!(good, "{text}");
}

#[test]
fn a_build_with_nothing_changed_does_nothing() {
    // With the lock that was used: the archive may publish while the tests run.
    let lock = name("lock");
    let lock = lock.to_str().unwrap();
    let output = run(&["build", "recipes/kvm.toml", "--lock", lock]);
    assert!(text(&output).contains("up to date"), "{}", text(&output));
    let plan = text(&run(&["plan", "recipes/kvm.toml", "--lock", lock]));
    assert!(
        plan.contains("nothing to download") && !plan.contains("build     "),
        "{plan}"
    );
}

/// Access times are the one thing of a tree that changes by looking at it.
#[test]
fn looking_at_the_tree_does_not_change_the_image() {
    let trees = fs_err::read_dir(format!("{}/trees", cache())).unwrap();
    let (name, lock) = ("usr/lib/raspi-firmware", name("lock"));
    let tree = trees
        .flatten()
        .map(|entry| entry.path())
        .find(|tree| tree.join(name).is_dir())
        .expect("scripts/test built one");
    let (good, said) = tool(
        "find",
        &[
            tree.join("etc").to_str().unwrap(),
            "-type",
            "f",
            "-exec",
            "touch",
            "-a",
            "{}",
            "+",
        ],
    );
    assert!(good, "{said}");
    let out = tempfile::tempdir_in("/var/tmp").unwrap();
    let output = run(&[
        "build",
        "recipes/kvm.toml",
        "--lock",
        lock.to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let again = out.path().join("kvm/0.1.0");
    assert_eq!(
        fs_err::read_to_string(again.join("SHA256SUMS")).unwrap(),
        fs_err::read_to_string(outputs("kvm").join("SHA256SUMS")).unwrap(),
        "{}",
        text(&run(&[
            "diff",
            outputs("kvm").to_str().unwrap(),
            again.to_str().unwrap()
        ]))
    );
}

#[test]
fn a_build_is_the_same_as_itself() {
    let folder = outputs("kvm");
    let output = run(&["diff", folder.to_str().unwrap(), folder.to_str().unwrap()]);
    assert!(
        text(&output).contains("the same, byte for byte"),
        "{}",
        text(&output)
    );
}
