use std::process::Command;

use proptest::prelude::*;

use super::*;

const SALT_BYTES: [u8; SALT] = [7; SALT];

fn tree_of(data: &[u8]) -> Tree {
    let salted = Salted::new(&SALT_BYTES);
    let digests: Vec<[u8; 32]> = data
        .chunks(BLOCK)
        .map(|block| salted.block(block))
        .collect();
    Tree::of(&SALT_BYTES, &digests)
}

fn data(blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK)
        .map(|at| (at / 97 % 251) as u8)
        .collect()
}

/// Numbers of blocks around the places where a level is full.
const SIZES: &[usize] = &[2, 127, 128, 129, 128 * 128 - 1, 128 * 128, 128 * 128 + 1];

#[test]
#[expect(clippy::disallowed_methods, reason = "veritysetup is the judge")]
fn veritysetup_agrees_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    for blocks in SIZES {
        let data = data(*blocks);
        let (data_file, tree_file) = (folder.path().join("data"), folder.path().join("tree"));
        fs_err::write(&data_file, &data).unwrap();
        drop(fs_err::remove_file(&tree_file));
        let output = Command::new("/usr/sbin/veritysetup")
            .args(["format", "--uuid", "01020304-0506-8708-890a-0b0c0d0e0f10"])
            .args(["--salt", &hex::encode(SALT_BYTES)])
            .args([&data_file, &tree_file])
            .output()
            .expect("veritysetup is installed by scripts/prepare test");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let ours = tree_of(&data);
        assert!(said.contains(&ours.root.to_string()), "{blocks}: {said}");
        let theirs = fs_err::read(&tree_file).unwrap();
        assert_eq!(theirs[BLOCK..], ours.bytes, "{blocks}");
        assert_eq!(
            ours.bytes.len() as u64,
            tree_blocks(*blocks as u64) * BLOCK as u64
        );
        let superblock = Superblock {
            uuid: [1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16],
            data_blocks: *blocks as u64,
            salt: SALT_BYTES,
        };
        assert_eq!(theirs[..512], superblock.to_bytes());
        assert_eq!(
            Superblock::from_bytes(theirs[..512].try_into().unwrap()),
            Ok(superblock)
        );
    }
}

#[test]
fn every_changed_bit_changes_the_root() {
    let mut data = data(130);
    let root = tree_of(&data).root;
    for at in [0, 4095, 4096, 129 * BLOCK + 4095] {
        for bit in 0..8 {
            data[at] ^= 1 << bit;
            assert_ne!(tree_of(&data).root, root);
            data[at] ^= 1 << bit;
        }
    }
    assert_eq!(tree_of(&data).root, root);
}

proptest! {
    #[test]
    fn any_superblock_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 512)) {
        let bytes: [u8; 512] = bytes.try_into().unwrap();
        if let Ok(read) = Superblock::from_bytes(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
