//! An image with two slots as other people's tools see it, and its update bundle.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use artifact_manifest::ArtifactManifest;
use bakelite_tests::bakelite::{outputs, run, text, tool};
use boot_partition::autoboot::{self, Autoboot};
use boot_partition::logical;
use boot_partition::mbr::SECTOR;
use content_digest::Sha256Digest;
use image_builder::disk;
use image_builder::firmware::{self, Board, BootPartition};
use ota_bundle::{Bundle, Kind};

const NAME: &str = "kvm-probe-0.1.0";

/// Builds the probe image and unpacks it into `folder`.
fn image(folder: &Path) -> PathBuf {
    let output = run(&["build", "recipes/kvm-probe.toml"]);
    assert!(output.status.success(), "{}", text(&output));
    let disk = folder.join("disk.img");
    let image = outputs("kvm-probe").join(format!("{NAME}.img.zst"));
    disk::decompress(&image, &disk, 0).unwrap();
    disk
}

/// Copies a partition into a file of its own.
fn partition(disk: &Path, number: u32) -> PathBuf {
    let mut file = fs_err::File::open(disk).unwrap();
    let all = logical::numbered(&mut file).unwrap();
    let (_, found) = all.iter().find(|(other, _)| *other == number).unwrap();
    let target = disk.with_extension(format!("part{number}"));
    let output = fs_err::File::create(&target).unwrap();
    let (start, length) = (
        u64::from(found.first) * SECTOR,
        u64::from(found.sectors) * SECTOR,
    );
    output.set_len(length).unwrap();
    let mut bytes = vec![0; 1 << 20];
    for at in (0..length).step_by(bytes.len()) {
        file.file().read_exact_at(&mut bytes, start + at).unwrap();
        if bytes.iter().any(|byte| *byte != 0) {
            output.file().write_all_at(&bytes, at).unwrap();
        }
    }
    target
}

fn judged(program: &str, arguments: &[&str]) -> String {
    let (is_well, said) = tool(program, arguments);
    assert!(is_well, "{program} {arguments:?}: {said}");
    said
}

/// Copies the image as bmaptool does, over what somebody had on the card: what is left out must not matter.
fn copied_by_its_block_map(disk: &Path) -> PathBuf {
    let (copy, noise) = (disk.with_extension("copy"), vec![0xa5; 1 << 20]);
    let mut file = fs_err::File::create(&copy).unwrap();
    for _ in 0..fs_err::metadata(disk).unwrap().len() >> 20 {
        file.write_all(&noise).unwrap();
    }
    let map = outputs("kvm-probe").join(format!("{NAME}.bmap"));
    let (map, from, to) = (map.to_str(), disk.to_str(), copy.to_str());
    let words = ["copy", "--bmap", map.unwrap(), from.unwrap(), to.unwrap()];
    judged("bmaptool", &words);
    copy
}

#[test]
fn other_peoples_tools_find_every_part_sound() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let disk = copied_by_its_block_map(&image(folder.path()));
    judged("sfdisk", &["--verify", disk.to_str().unwrap()]);
    let part = |number| partition(&disk, number).to_str().unwrap().to_owned();
    for number in [1, 2] {
        judged("fsck.fat", &["-n", &part(number)]);
    }
    judged("e2fsck", &["-fn", &part(7)]);

    let mut file = fs_err::File::open(&disk).unwrap();
    let boot = BootPartition::read(&mut file).unwrap();
    assert_eq!((boot.number, boot.autoboot), (2, Some(Autoboot::new(2, 3))));
    assert!(boot.first(autoboot::FILE).unwrap().len() < 512);
    for name in Board::names().iter().filter(|name| **name != "pi5") {
        let plan = firmware::plan(&boot, Board::find(name).unwrap());
        assert!(plan.is_ok(), "{plan:?}");
    }
    let line = String::from_utf8(boot.file("cmdline.txt").unwrap().to_vec()).unwrap();
    let hash = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("bakelite.root="))
        .unwrap();

    // The file system's own length says where the hash tree begins (EROFS: blocks, at 36 of the superblock).
    let root = part(5);
    let mut word = [0; 4];
    let data = fs_err::File::open(&root).unwrap();
    data.file().read_exact_at(&mut word, 1024 + 36).unwrap();
    let offset = format!(
        "--hash-offset={}",
        u64::from(u32::from_le_bytes(word)) * 4096
    );
    judged("veritysetup", &["verify", &offset, &root, &root, hash]);
    judged("fsck.erofs", &[&root]);

    // One bit of the file system, and the root hash is another one.
    let changed = fs_err::OpenOptions::new().write(true).open(&root).unwrap();
    let mut byte = [0];
    data.file().read_exact_at(&mut byte, 5_000_000).unwrap();
    changed
        .file()
        .write_all_at(&[byte[0] ^ 1], 5_000_000)
        .unwrap();
    let (is_well, said) = tool("veritysetup", &["verify", &offset, &root, &root, hash]);
    assert!(!is_well, "{said}");
}

#[test]
fn what_an_earlier_system_left_is_written_over_when_only_used_blocks_are() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(folder.path());
    let map = fs_err::read_to_string(outputs("kvm-probe").join(format!("{NAME}.bmap"))).unwrap();
    let map = block_map::BlockMap::read(&map).unwrap();
    let mut file = fs_err::File::open(&disk).unwrap();
    let all = logical::numbered(&mut file).unwrap();
    let second = all.iter().find(|(number, _)| *number == 3).unwrap().1;
    let places = [
        (agent_region::OFFSET, agent_region::LENGTH),
        (u64::from(second.first) * SECTOR, SECTOR),
    ];
    for (place, length) in places {
        let mut bytes = vec![1; usize::try_from(length).unwrap()];
        file.file().read_exact_at(&mut bytes, place).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        let covered = map
            .ranges
            .iter()
            .any(|range| range.start <= place && place + length <= range.start + range.length);
        assert!(covered, "{place} is not in the block map");
    }
}

#[test]
fn the_bundle_holds_what_the_first_slot_holds() {
    let folder = tempfile::tempdir().unwrap();
    let disk = image(folder.path());
    let bytes = fs_err::read(outputs("kvm-probe").join(format!("{NAME}.upd"))).unwrap();
    let bundle = Bundle::read(&bytes).unwrap();
    assert!(bundle.trust().is_empty(), "nobody signed it yet");
    let id = Sha256Digest::of(bundle.manifest_bytes());
    let bundle = bundle.verify(id).unwrap();
    let text = fs_err::read_to_string(outputs("kvm-probe").join("manifest.json")).unwrap();
    let eeprom = ArtifactManifest::from_json(&text).unwrap().eeprom;
    assert_eq!(eeprom.get("pi4").map(String::as_str), Some("2025-08-20"));
    assert!(!eeprom.contains_key("pi3"), "it has none");
    let manifest = bundle.manifest();
    assert_eq!(
        (manifest.product.as_str(), manifest.version.as_str()),
        ("kvm-probe", "0.1.0")
    );
    let mut plain = Vec::new();
    for (kind, number) in [(Kind::Root, 5), (Kind::Boot, 2)] {
        let slot = fs_err::File::open(partition(&disk, number)).unwrap();
        for segment in bundle.segments(kind) {
            let start = usize::try_from(segment.offset).unwrap();
            segment
                .unpack(&bytes[start..start + segment.stored as usize], &mut plain)
                .unwrap();
            let mut there = vec![0; plain.len()];
            slot.file()
                .read_exact_at(&mut there, segment.place)
                .unwrap();
            assert_eq!(plain, there, "{kind:?} at {}", segment.place);
        }
    }
}
