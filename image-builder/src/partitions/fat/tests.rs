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
    files
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
