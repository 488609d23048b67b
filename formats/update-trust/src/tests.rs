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
fn every_channel_counts_for_itself_and_keys_are_revoked_in_all() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| key(folder.path(), name));
    let public = |signer: &Arc<dyn Signer>| signer.public().unwrap();
    let (first, _) = root(std::slice::from_ref(&one), &[public(&one)], 1, None, when()).unwrap();
    let both = [one.clone(), two.clone()];
    let (second, _) = root(&both, &[public(&two)], 1, Some(&first), when()).unwrap();
    let (old, new) = (
        [(1, first.clone())],
        [(1, first.clone()), (2, second.clone())],
    );
    let sign = |signer: &Arc<dyn Signer>, roots: &[(u64, String)], versions: &[&str], number| {
        let signers = std::slice::from_ref(signer);
        release(signers, roots, &releases(versions), number, when()).unwrap()
    };
    let mut memory = Memory::default();
    let mut look = |channel: Option<&str>, metadata: &Metadata| {
        let seen = channel.map_or_else(|| memory.of_none(), |channel| memory.of(channel));
        let trusted = verify(first.as_bytes(), metadata, &seen, NOW)?;
        memory.keep(channel, &trusted);
        // As it is on the disk.
        let bytes = serde_json::to_vec(&memory).unwrap();
        memory = serde_json::from_slice(&bytes).unwrap();
        Ok::<_, TrustError>(trusted)
    };
    let stable = sign(&one, &old, &["1.0"], 40);
    look(Some("stable"), &stable).unwrap();
    // Another channel, and a bundle of some time ago.
    let beta = sign(&one, &old, &["2.0"], 3);
    look(Some("beta"), &beta).unwrap();
    look(None, &sign(&one, &old, &["1.0"], 1)).unwrap();
    for (channel, number) in [("stable", 39), ("beta", 2)] {
        let error = look(Some(channel), &sign(&one, &old, &["6.6.6"], number)).unwrap_err();
        assert!(why(&error).contains("version"), "{error}");
    }
    // A bundle brings the news that a key was revoked.
    look(None, &sign(&two, &new, &["2.0"], 1)).unwrap();
    for channel in [Some("stable"), Some("beta"), Some("new"), None] {
        let forged = sign(&one, &old, &["6.6.6"], 99);
        assert!(look(channel, &forged).is_err(), "{channel:?}");
    }
    look(Some("stable"), &sign(&two, &new, &["2.0"], 41)).unwrap();
    assert!(look(Some("stable"), &sign(&two, &new, &["2.0"], 40)).is_err());
    // Older roots in a bundle do not bring the revoked one back.
    look(None, &sign(&two, &new, &["2.0"], 1)).unwrap();
    assert!(look(None, &sign(&one, &old, &["1.0"], 1)).is_err());
}

#[test]
fn what_a_channel_holds_back_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let signers = [key(folder.path(), "one")];
    let keys = [signers[0].public().unwrap()];
    let roots = [(1, root(&signers, &keys, 1, None, when()).unwrap().0)];
    let mut memory = Memory::default();
    let mut publish = |number, held: &str| {
        let mut releases = releases(&["1.0", "2.0"]);
        let said = serde_json::json!({
            "product": "kvm", "version": "2.0", "created": 1, "bundle": "bundles/2.0.upd", "held": held
        });
        releases[1].said = said.as_object().unwrap().clone();
        let metadata = release(&signers, &roots, &releases, number, when()).unwrap();
        let seen = memory.of("stable");
        let trusted = verify(roots[0].1.as_bytes(), &metadata, &seen, NOW).unwrap();
        assert!(memory.keep(Some("stable"), &trusted));
        assert!(!memory.keep(Some("stable"), &trusted));
        let held = |version: &str| memory.held(Sha256Digest::of(version)).map(|(_, held)| held);
        (held("1.0"), held("2.0"))
    };
    assert_eq!(publish(1, "no"), (None, None));
    assert_eq!(publish(2, "halted"), (None, Some(Held::Halted)));
    assert_eq!(publish(3, "yanked"), (None, Some(Held::Yanked)));
    assert_eq!(publish(4, "no"), (None, None));
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
