//! Metadata that somebody sends to a device: nothing is trusted but what the device's own root vouches for.
#![no_main]

use std::sync::{Arc, LazyLock};

use update_trust::{FileSigner, Metadata, NewKey, Release, Seen, Signer, Validity, release, root, verify};

const NOW: i64 = 1_767_225_600;

/// A root and what it vouches for.
static GOOD: LazyLock<(String, Metadata)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, NewKey::make().unwrap().reveal()).unwrap();
    let signers: [Arc<dyn Signer>; 1] = [Arc::new(FileSigner { path })];
    let when = (NOW, Validity::default());
    let (root, _) = root(&signers, &[signers[0].public().unwrap()], 1, None, when).unwrap();
    let digest = content_digest::Sha256Digest::of("good");
    let good = Release { name: "good".into(), digest, length: 4, said: serde_json::Map::new() };
    let metadata = release(&signers, &[(1, root.clone())], &[good], 1, when).unwrap();
    (root, metadata)
});

libfuzzer_sys::fuzz_target!(|input: (usize, usize, u8, Vec<u8>)| {
    let (file, at, byte, whole) = input;
    let (root, good) = &*GOOD;
    if let Ok(metadata) = Metadata::from_bytes(&whole) {
        assert!(verify(root.as_bytes(), &metadata, &Seen::default(), NOW).is_err());
    }
    // One byte of one file.
    let names: Vec<&str> = good.iter().map(|(name, _)| name).collect();
    let name = names[file % names.len()];
    let mut bytes = good.get(name).unwrap().as_bytes().to_vec();
    let at = at % bytes.len();
    bytes[at] = byte;
    let Ok(text) = String::from_utf8(bytes) else { return };
    let mut changed = good.clone();
    changed.insert(name, text);
    if let Ok(trusted) = verify(root.as_bytes(), &changed, &Seen::default(), NOW) {
        // Blanks and the like may differ; what is said may not.
        assert_eq!(trusted.digest("good"), Some(content_digest::Sha256Digest::of("good")));
        assert_eq!(trusted.targets().count(), 1);
    }
});
