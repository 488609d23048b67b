use std::io::Cursor;
use std::path::Path;

use ota_bundle::{Bundle, Draft, Kind, Verity, Writer};
use update_trust::{Held, Metadata, Seen, Step, verify};

use super::*;

mod keys;

const NOW: i64 = 1_767_225_600;

fn bundle(path: &Path, version: &str, contents: u8) {
    let (root, boot) = (vec![contents; 40_960], vec![contents; 5000]);
    let pack = |bytes: &[u8]| Ok(bytes.to_vec());
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let verity = Verity {
        data_blocks: 4,
        salt: "00".repeat(32),
        root: content_digest::Sha256Digest::of("root"),
    };
    writer
        .image(
            Kind::Root,
            (40_960, 40_960),
            Some(verity),
            &mut &root[..],
            pack,
        )
        .unwrap();
    writer
        .image(Kind::Boot, (5000, 5000), None, &mut &boot[..], pack)
        .unwrap();
    let draft = Draft {
        product: "kvm".into(),
        version: version.into(),
        created: 1,
        rollback_index: 0,
        boards: vec!["raspberrypi,4-model-b".into()],
        disk: 1,
        notes: None,
    };
    writer
        .finish(draft, &mut fs_err::File::create(path).unwrap(), |_| {
            Ok(Vec::new())
        })
        .unwrap();
}

#[test]
fn what_is_published_a_device_with_the_root_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let keys = Keys::init(&path("keys"), NOW).unwrap();
    assert!(matches!(
        Keys::init(&path("keys"), NOW),
        Err(KeysError::There { .. })
    ));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs_err::metadata(path("keys/private/update.key"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let channel = Channel::new(&path("stable"));
    bundle(&path("1.upd"), "1.0", 1);
    bundle(&path("2.upd"), "2.0", 2);
    assert_eq!(
        channel
            .publish(&keys, &path("1.upd"), &[], 3, NOW)
            .unwrap()
            .version,
        1
    );
    let second = channel.publish(&keys, &path("2.upd"), &[], 3, NOW).unwrap();
    assert_eq!(second.version, 2);
    // Both in one second: the later one is the newer.
    let contents = channel.contents(&keys, NOW).unwrap().unwrap();
    assert_eq!(contents.releases[0].1.version, "2.0");
    assert!(contents.releases[0].1.published > contents.releases[1].1.published);
    let root = keys.newest_root().as_bytes();
    let online = verify(root, &channel.metadata().unwrap(), &Seen::default(), NOW).unwrap();
    assert_eq!(online.digest("kvm-2.0"), Some(second.id));
    assert!(online.digest("kvm-1.0").is_some());
    // Without a network: what the bundle carries.
    let bytes = fs_err::read(path("stable/bundles/kvm-2.0.upd")).unwrap();
    let read = Bundle::read(&bytes).unwrap();
    let carried = Metadata::from_bytes(read.trust()).unwrap();
    let offline = verify(root, &carried, &Seen::default(), 0).unwrap();
    assert!(offline.vouches_for(second.id));
    assert!(read.verify(second.id).is_ok());
    // Another bundle with a version that is out already.
    bundle(&path("other.upd"), "2.0", 3);
    assert!(matches!(
        channel.publish(&keys, &path("other.upd"), &[], 3, NOW),
        Err(ChannelError::Other { .. })
    ));
    // Other keys do not go on with this channel.
    let others = Keys::init(&path("others"), NOW).unwrap();
    assert!(matches!(
        channel.publish(&others, &path("1.upd"), &[], 3, NOW),
        Err(ChannelError::Foreign(_))
    ));
}

#[test]
fn a_damaged_bundle_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::init(&folder.path().join("keys"), NOW).unwrap();
    let path = folder.path().join("1.upd");
    bundle(&path, "1.0", 1);
    let bytes = fs_err::read(&path).unwrap();
    let channel = Channel::new(&folder.path().join("stable"));
    for length in [0, 60, 200, bytes.len() - 1] {
        fs_err::write(&path, &bytes[..length]).unwrap();
        assert!(
            channel.publish(&keys, &path, &[], 3, NOW).is_err(),
            "{length}"
        );
    }
    assert!(!folder.path().join("stable").exists());
}

#[test]
fn a_wave_stands_still_goes_on_and_is_halted_and_old_releases_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let keys = Keys::init(&path("keys"), NOW).unwrap();
    let channel = Channel::new(&path("stable"));
    assert!(matches!(
        channel.renew(&keys, NOW),
        Err(ChannelError::Empty { .. })
    ));
    let steps = [Step {
        after: 1000,
        percent: 100,
    }];
    for (number, steps) in [(1, &[][..]), (2, &[]), (3, &steps)] {
        let file = path(&format!("{number}.upd"));
        bundle(&file, &format!("{number}.0"), number);
        channel
            .publish(&keys, &file, steps, 3, NOW + i64::from(number))
            .unwrap();
    }
    let change = |version: &str, change, now| channel.change(&keys, version, change, now);
    assert!(matches!(
        change("9.0", Change::Halt, NOW),
        Err(ChannelError::Unknown { .. })
    ));
    assert!(matches!(
        change("1.0", Change::Pause, NOW),
        Err(ChannelError::NoWave { .. })
    ));
    let newest = |contents: &Contents| contents.releases[0].1.clone();
    let begun = u64::try_from(NOW).unwrap() + 3;
    let share = |contents: &Contents, now: u64| newest(contents).wave.unwrap().share(now);
    let paused = change("3.0", Change::Pause, NOW + 3 + 250).unwrap();
    assert_eq!(share(&paused, begun + 900), 2500);
    // An hour later it goes on from there.
    let resumed = change("3.0", Change::Resume, NOW + 3 + 250 + 3600).unwrap();
    assert_eq!(share(&resumed, begun + 250 + 3600), 2500);
    assert_eq!(share(&resumed, begun + 500 + 3600), 5000);
    let yanked = change("3.0", Change::Yank, NOW + 5000).unwrap();
    assert_eq!(newest(&yanked).held, Held::Yanked);
    // A device hears of it by what is signed.
    let root = keys.newest_root().as_bytes();
    let seen = verify(root, &channel.metadata().unwrap(), &Seen::default(), NOW).unwrap();
    assert!(
        seen.releases()
            .any(|(_, said)| (said.version.as_str(), said.held) == ("3.0", Held::Yanked))
    );
    let gone = channel.prune(&keys, 1, NOW + 5000).unwrap();
    assert!(
        gone.contains(&"bundles/kvm-1.0.upd".into())
            && gone.contains(&"bundles/kvm-3.0.upd".into())
            && gone.contains(&"metadata/1.targets.json".into()),
        "{gone:?}"
    );
    let left = channel.contents(&keys, NOW).unwrap().unwrap();
    let versions: Vec<&str> = left
        .releases
        .iter()
        .map(|(_, said)| said.version.as_str())
        .collect();
    assert_eq!(versions, ["3.0", "2.0"]);
    assert!(path("stable/bundles/kvm-2.0.upd").exists());
}

#[test]
fn who_was_interrupted_long_ago_hinders_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let keys = Keys::init(&path("keys"), NOW).unwrap();
    let channel = Channel::new(&path("stable"));
    bundle(&path("1.upd"), "1.0", 1);
    channel.publish(&keys, &path("1.upd"), &[], 0, NOW).unwrap();
    let left = path("stable/metadata/2.targets.json");
    fs_err::write(&left, "{}").unwrap();
    let touch = |time: i64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time.try_into().unwrap());
        let file = fs_err::File::options().write(true).open(&left).unwrap();
        file.file().set_modified(time).unwrap();
    };
    touch(NOW - 30);
    assert!(matches!(
        channel.renew(&keys, NOW),
        Err(ChannelError::Meanwhile)
    ));
    touch(NOW - 3600);
    assert_eq!(channel.renew(&keys, NOW).unwrap().version, 3);
    assert_eq!(channel.contents(&keys, NOW).unwrap().unwrap().version, 3);
    // Of two who sign the same version, the second is told.
    let before = channel.contents(&keys, NOW).unwrap();
    let sign = || channel.sign(&keys, before.as_ref(), &[], NOW).unwrap().0;
    let (one, other) = (sign(), sign());
    channel.show(&one).unwrap();
    assert!(matches!(channel.show(&other), Err(ChannelError::Meanwhile)));
}
