use std::path::Path;
use std::sync::Arc;

use content_digest::Sha256Digest;

use super::*;

/// 2026-01-01.
const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

fn key(folder: &Path, name: &str) -> Arc<dyn Signer> {
    let path = folder.join(name);
    fs_err::write(&path, NewKey::make().unwrap().reveal()).unwrap();
    Arc::new(FileSigner { path })
}

fn when() -> (i64, Validity) {
    (NOW, Validity::default())
}

fn releases(versions: &[&str]) -> Vec<Release> {
    let release = |version: &&str| Release {
        name: format!("kvm-{version}"),
        digest: Sha256Digest::of(version),
        length: 3,
        said: serde_json::Map::new(),
    };
    versions.iter().map(release).collect()
}

fn why(error: &TrustError) -> String {
    error.to_string()
}

#[test]
fn one_key_holds_all_roles_and_counters_do_not_fall() {
    let folder = tempfile::tempdir().unwrap();
    let signers = [key(folder.path(), "one")];
    let keys = [signers[0].public().unwrap()];
    let (root, version) = root(&signers, &keys, 1, None, when()).unwrap();
    assert_eq!(version, 1);
    let roots = [(1, root.clone())];
    let first = release(&signers, &roots, &releases(&["1.0"]), 1, when()).unwrap();
    let second = release(&signers, &roots, &releases(&["1.0", "2.0"]), 2, when()).unwrap();
    let read = Metadata::from_bytes(&second.to_bytes()).unwrap();
    assert_eq!(read, second);
    let trusted = verify(root.as_bytes(), &first, &Seen::default(), NOW).unwrap();
    assert_eq!(trusted.digest("kvm-1.0"), Some(Sha256Digest::of("1.0")));
    assert_eq!(trusted.expired, None);
    let newer = verify(root.as_bytes(), &second, &trusted.seen, NOW).unwrap();
    assert!(newer.vouches_for(Sha256Digest::of("2.0")));
    // Rollback and freeze: what is older than what was seen is refused whatever the clock says.
    for clock in [0, NOW, NOW + 3650 * DAY] {
        let error = verify(root.as_bytes(), &first, &newer.seen, clock).unwrap_err();
        assert!(why(&error).contains("version"), "{error}");
    }
}

#[test]
fn a_clock_of_1970_refuses_nothing_and_a_late_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let signers = [key(folder.path(), "one")];
    let keys = [signers[0].public().unwrap()];
    let (root, _) = root(&signers, &keys, 1, None, when()).unwrap();
    let metadata = release(
        &signers,
        &[(1, root.clone())],
        &releases(&["1.0"]),
        1,
        when(),
    )
    .unwrap();
    let at = |now| {
        verify(root.as_bytes(), &metadata, &Seen::default(), now)
            .unwrap()
            .expired
    };
    assert_eq!(at(0), None);
    assert_eq!(at(NOW + 29 * DAY), None);
    assert_eq!(at(NOW + 31 * DAY).unwrap().role, "timestamp");
    // Going back in time afterwards is no error: a device without a battery does it at every power cut.
    let seen = verify(root.as_bytes(), &metadata, &Seen::default(), NOW + 31 * DAY)
        .unwrap()
        .seen;
    assert!(verify(root.as_bytes(), &metadata, &seen, 0).is_ok());
}

#[test]
fn rotation_reaches_devices_that_skipped_it_and_revoked_keys_sign_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| key(folder.path(), name));
    let public = |signer: &Arc<dyn Signer>| signer.public().unwrap();
    let (first, _) = root(std::slice::from_ref(&one), &[public(&one)], 1, None, when()).unwrap();
    let (second, version) = root(
        &[one.clone(), two.clone()],
        &[public(&two)],
        1,
        Some(&first),
        when(),
    )
    .unwrap();
    assert_eq!(version, 2);
    let both = [two.clone(), three.clone()];
    let (third, _) = root(
        &both,
        &[public(&two), public(&three)],
        2,
        Some(&second),
        when(),
    )
    .unwrap();
    let roots = [(1, first.clone()), (2, second.clone()), (3, third.clone())];
    let metadata = release(
        std::slice::from_ref(&three),
        &roots,
        &releases(&["3.0"]),
        7,
        when(),
    )
    .unwrap();
    // A device that was made with the first root.
    let trusted = verify(first.as_bytes(), &metadata, &Seen::default(), NOW).unwrap();
    assert_eq!(trusted.versions, (3, 7));
    // The first key is revoked: what it signs is worth nothing to a device that has seen the third root.
    let forged = release(
        std::slice::from_ref(&one),
        &roots[..1],
        &releases(&["6.6.6"]),
        9,
        when(),
    )
    .unwrap();
    let mut mixed = metadata.clone();
    for (name, text) in forged.iter().filter(|(name, _)| !name.contains("root")) {
        mixed.insert(name, text);
    }
    assert!(verify(first.as_bytes(), &mixed, &trusted.seen, NOW).is_err());
    // Nor does it help to hide the roots that followed.
    assert!(verify(first.as_bytes(), &forged, &Seen::default(), NOW).is_ok());
    assert!(verify(first.as_bytes(), &forged, &trusted.seen, NOW).is_err());
    // Counters do not fall either because keys were replaced some time ago.
    let older = release(
        std::slice::from_ref(&three),
        &roots,
        &releases(&["2.0"]),
        6,
        when(),
    )
    .unwrap();
    assert!(verify(first.as_bytes(), &older, &trusted.seen, NOW).is_err());
    // A root that none of those signs who were trusted before cannot even be made.
    assert!(
        root(
            std::slice::from_ref(&three),
            &[public(&three)],
            1,
            Some(&first),
            when()
        )
        .is_err()
    );
    // Two of two must sign the third root.
    let (alone, _) = root(
        std::slice::from_ref(&two),
        &[public(&two)],
        1,
        Some(&third),
        when(),
    )
    .unwrap();
    let roots = [(1, first.clone()), (2, second), (3, third), (4, alone)];
    let metadata = release(&[two], &roots, &releases(&["6.6.6"]), 9, when()).unwrap();
    assert!(verify(first.as_bytes(), &metadata, &Seen::default(), NOW).is_err());
}

#[test]
fn every_changed_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let signers = [key(folder.path(), "one")];
    let keys = [signers[0].public().unwrap()];
    let (root, _) = root(&signers, &keys, 1, None, when()).unwrap();
    let metadata = release(
        &signers,
        &[(1, root.clone())],
        &releases(&["1.0"]),
        1,
        when(),
    )
    .unwrap();
    for (name, text) in metadata.iter().filter(|(name, _)| *name != "1.root.json") {
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"expires\": \"2", "\"expires\": \"3"),
            ("sha256\": \"", "sha256\": \"0"),
        ] {
            let changed = text.replacen(from, to, 1);
            if changed != text {
                let mut forged = metadata.clone();
                forged.insert(name, changed);
                assert!(
                    verify(root.as_bytes(), &forged, &Seen::default(), NOW).is_err(),
                    "{name}: {to}"
                );
            }
        }
        let mut without = Metadata::default();
        metadata
            .iter()
            .filter(|(other, _)| *other != name)
            .for_each(|(name, text)| without.insert(name, text));
        assert!(
            verify(root.as_bytes(), &without, &Seen::default(), NOW).is_err(),
            "without {name}"
        );
    }
    // Mix and match: a targets file of another version of the same repository.
    let second = release(
        &signers,
        &[(1, root.clone())],
        &releases(&["2.0"]),
        2,
        when(),
    )
    .unwrap();
    let mut mixed = second.clone();
    mixed.insert("2.targets.json", metadata.get("1.targets.json").unwrap());
    assert!(verify(root.as_bytes(), &mixed, &Seen::default(), NOW).is_err());
    assert!(verify(root.as_bytes(), &second, &Seen::default(), NOW).is_ok());
}
