use std::io::{Cursor, Read as _};

use super::*;

const SIZE: u64 = 64 << 20;

fn volume() -> Volume<'static> {
    Volume {
        label: "BOOT",
        id: 0x1234_5678,
        timestamp: 1_789_199_741,
    }
}

/// Reads a file system back with another implementation.
fn read_back(disk: &[u8]) -> Files {
    fn walk<T: fatfs::ReadWriteSeek>(folder: &fatfs::Dir<'_, T>, prefix: &str, files: &mut Files) {
        for entry in folder.iter() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            if entry.is_dir() {
                walk(&entry.to_dir(), &format!("{prefix}{name}/"), files);
            } else {
                let mut bytes = Vec::new();
                entry.to_file().read_to_end(&mut bytes).unwrap();
                files.insert(format!("{prefix}{name}"), bytes);
            }
        }
    }
    let fs = fatfs::FileSystem::new(Cursor::new(disk.to_vec()), fatfs::FsOptions::new()).unwrap();
    assert_eq!(fs.fat_type(), fatfs::FatType::Fat32);
    assert_eq!(
        fs.read_volume_label_from_root_dir().unwrap().as_deref(),
        Some("BOOT")
    );
    let mut files = Files::new();
    walk(&fs.root_dir(), "", &mut files);
    let ours = read(&mut Cursor::new(disk), 0, disk.len() as u64).unwrap();
    assert!(ours == files, "our own reader finds {:?}", ours.keys());
    files
}

/// Formats and fills a file system with another implementation.
fn made_by_another(width: fatfs::FatType, size: usize, files: &Files) -> Vec<u8> {
    use std::io::Write as _;
    let mut disk = vec![0; size];
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(width)
        .bytes_per_cluster(512);
    fatfs::format_volume(Cursor::new(&mut disk[..]), options).unwrap();
    let fs = fatfs::FileSystem::new(Cursor::new(&mut disk[..]), fatfs::FsOptions::new()).unwrap();
    assert_eq!(fs.fat_type(), width);
    for (name, bytes) in files {
        for (at, _) in name.match_indices('/') {
            fs.root_dir().create_dir(&name[..at]).unwrap();
        }
        let mut file = fs.root_dir().create_file(name).unwrap();
        file.write_all(bytes).unwrap();
    }
    drop(fs);
    disk
}

/// Of all three widths.
fn foreign_disks() -> Vec<Vec<u8>> {
    let mut files = Files::new();
    files.insert("config.txt".into(), b"arm_64bit=1\n".to_vec());
    files.insert("a rather long name, with Ü.dtbo".into(), vec![7; 5_000]);
    files.insert("overlays/deep/one.dtbo".into(), vec![9; 512]);
    files.insert("empty".into(), Vec::new());
    let widths = [
        (fatfs::FatType::Fat12, 1 << 20),
        (fatfs::FatType::Fat16, 8 << 20),
        (fatfs::FatType::Fat32, 40 << 20),
    ];
    let make = |(width, size)| {
        let disk = made_by_another(width, size, &files);
        let found = read(&mut Cursor::new(&disk), 0, size as u64).unwrap();
        let of = |files: &Files| -> Files {
            let lower = |(name, bytes): (&String, &Vec<u8>)| (name.to_lowercase(), bytes.clone());
            files.iter().map(lower).collect()
        };
        assert!(of(&found) == of(&files), "{width:?}: {:?}", found.keys());
        disk
    };
    widths.into_iter().map(make).collect()
}

#[test]
fn reads_what_another_implementation_wrote() {
    foreign_disks();
}

#[test]
fn what_lies_behind_the_used_part_belongs_to_nobody() {
    for disk in foreign_disks() {
        let size = disk.len() as u64;
        let files = read(&mut Cursor::new(&disk), 0, size).unwrap();
        let mut shifted = vec![0; 4096];
        shifted.extend(&disk);
        let used = used(&mut Cursor::new(&shifted), 4096, size).unwrap();
        assert!(used > 5_000 && used < size, "{used} of {size}");
        let mut other = disk;
        let used = usize::try_from(used).unwrap();
        other[used..].fill(0x55);
        assert!(read(&mut Cursor::new(&other), 0, size).unwrap() == files);
    }
    // What this crate wrote ends where it says.
    let mut disk = Cursor::new(vec![0; usize::try_from(SIZE).unwrap()]);
    let files = Files::from([("a".into(), vec![1; 70_000]), ("b".into(), vec![2; 5])]);
    let written = write(&mut disk, 0, SIZE, volume(), &files).unwrap();
    assert_eq!(used(&mut disk, 0, SIZE).unwrap(), written[0].1);
}

#[test]
fn a_file_is_found_where_its_bytes_lie() {
    let whole: Vec<u8> = (0..9000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for (width, size) in [
        (fatfs::FatType::Fat12, 1 << 20),
        (fatfs::FatType::Fat16, 8 << 20),
        (fatfs::FatType::Fat32, 40 << 20),
    ] {
        // Two files that grow in turn: neither lies in one piece.
        let mut disk = made_by_another(width, size, &Files::new());
        let fs =
            fatfs::FileSystem::new(Cursor::new(&mut disk[..]), fatfs::FsOptions::new()).unwrap();
        for part in whole.chunks(700) {
            for name in ["Settings.txt", "other"] {
                use std::io::{Seek as _, Write as _};
                let mut file = fs.root_dir().create_file(name).unwrap();
                file.seek(std::io::SeekFrom::End(0)).unwrap();
                file.write_all(part).unwrap();
            }
        }
        drop(fs);
        let mut shifted = vec![0; 4096];
        shifted.extend(&disk);
        let found = find(
            &mut Cursor::new(&shifted),
            4096,
            size as u64,
            "settings.TXT",
        )
        .unwrap();
        let extents = found.unwrap();
        assert!(extents.len() > 2, "{width:?}: {extents:?}");
        let bytes = extents.iter().flat_map(|(at, length)| {
            let at = usize::try_from(*at).unwrap();
            shifted[at..at + usize::try_from(*length).unwrap()].to_vec()
        });
        assert!(bytes.collect::<Vec<u8>>() == whole, "{width:?}");
        assert!(
            find(&mut Cursor::new(&disk), 0, size as u64, "none")
                .unwrap()
                .is_none()
        );
    }
}

/// Tables, entries and boot sectors with any byte changed: an error or other files, never a panic, a
/// loop, or more bytes than there are.
#[test]
fn damage_ends_well() {
    let mut seed = 7_u64;
    for disk in foreign_disks() {
        for _ in 0..400 {
            let mut broken = disk.clone();
            for _ in 0..4 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = usize::try_from(seed % (64 << 10)).unwrap();
                broken[at] = seed.to_le_bytes()[4];
            }
            if let Ok(files) = read(&mut Cursor::new(&broken), 0, broken.len() as u64) {
                let bytes: usize = files.values().map(Vec::len).sum();
                assert!(bytes <= broken.len());
            }
        }
    }
}

#[test]
fn circles_and_lies_are_told() {
    let disk = foreign_disks().swap_remove(1);
    let said = |broken: &[u8]| {
        let found = read(&mut Cursor::new(broken), 0, broken.len() as u64);
        found
            .err()
            .map_or_else(|| "nothing".to_owned(), |error| error.to_string())
    };
    let half = |at: usize| usize::from(u16::from_le_bytes([disk[at], disk[at + 1]]));
    let table = half(14) * 512;
    let root = table + usize::from(disk[16]) * half(22) * 512;
    let entry = (root..)
        .step_by(32)
        .find(|at| disk[*at..].starts_with(b"CONFIG  TXT"))
        .unwrap();
    // A file that says it is longer than its chain, longer than the disk, or lies nowhere.
    let changed = |at: usize, bytes: &[u8]| {
        let mut broken = disk.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        broken
    };
    assert!(said(&changed(entry + 28, &[0, 16, 0, 0])).contains("shorter than its entry says"));
    assert!(said(&changed(entry + 28, &[0xff; 4])).contains("larger than its partition"));
    assert!(said(&changed(entry + 26, &[0xff, 0xf0])).contains("leads out of it"));
    // A chain that comes back to itself, under a length that it never reaches.
    let first = half(entry + 26);
    let mut circle = changed(
        table + first * 2,
        &u16::try_from(first).unwrap().to_le_bytes(),
    );
    circle[entry + 28..entry + 32].copy_from_slice(&u32::try_from(7 << 20).unwrap().to_le_bytes());
    assert!(said(&circle).contains("goes in circles"));
    assert!(said(&changed(510, &[0])).contains("55 AA"));
    assert!(said(&changed(11, &[1])).contains("impossible size"));
    let short = read(&mut Cursor::new(&disk), 0, 1 << 20).err().unwrap();
    assert!(short.to_string().contains("larger than its partition"));
}

fn make(files: &Files) -> Result<Vec<u8>, FatError> {
    let mut disk = Cursor::new(vec![0; usize::try_from(SIZE).unwrap()]);
    write(&mut disk, 0, SIZE, volume(), files)?;
    Ok(disk.into_inner())
}

#[test]
fn another_implementation_reads_what_was_written() {
    let mut files = Files::new();
    files.insert("config.txt".into(), b"arm_64bit=1\n".to_vec());
    files.insert("bcm2711-rpi-4-b.dtb".into(), vec![7; 40_000]);
    files.insert("bcm2711-rpi-400.dtb".into(), vec![8; 1]);
    files.insert("overlays/a/b/c.dtbo".into(), vec![9; 512]);
    files.insert("empty".into(), Vec::new());
    files.insert("KERNEL8.IMG".into(), vec![1; 3_000_000]);
    for number in 0..300 {
        files.insert(format!("many/file number {number}.dat"), vec![1; 10]);
    }
    assert_eq!(read_back(&make(&files).unwrap()), files);
}

#[test]
fn says_how_much_room_is_missing() {
    let mut files = Files::new();
    files.insert("big".into(), vec![0; usize::try_from(SIZE).unwrap()]);
    let error = make(&files).unwrap_err().to_string();
    assert!(error.contains("raise image.boot-mib"), "{error}");
}

#[test]
fn refuses_names_that_fat_cannot_hold() {
    for name in ["a:b", "a.", "tail ", "x\u{7}"] {
        let files = Files::from([(name.to_owned(), vec![])]);
        assert!(matches!(make(&files), Err(FatError::Name { .. })), "{name}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn any_files_read_back(names in proptest::collection::btree_map("[a-z]{1,4}(/[a-zA-Z0-9_ -]{0,20}[a-z0-9])?", proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000), 0..20)) {
        // A name cannot be a file and a folder at once, and FAT does not tell upper from lower case.
        let folders: BTreeSet<String> = names.keys().filter_map(|n| Some(n.split_once('/')?.0.to_owned())).collect();
        let mut seen = BTreeSet::new();
        let files: Files = names.into_iter().filter(|(n, _)| !folders.contains(n) && seen.insert(n.to_lowercase())).collect();
        proptest::prop_assert_eq!(read_back(&make(&files).unwrap()), files);
    }
}
