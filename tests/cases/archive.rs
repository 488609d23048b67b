//! Signed indexes: what verifies is used, anything else is refused and nothing of it is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bakelite_tests::archive::{ReleaseFacts, SigningKey, archive, project};
use bakelite_tests::bakelite::{run, text};
use bakelite_tests::mirror::{Fault, Mirror};
use bakelite_tests::package::PackageBuilder;
use image_builder::lock::TOOLS;

/// What else the build asks an archive for, beside the tools.
const MORE: &[&str] = &["ipxe-qemu", "qemu-system-arm"];

struct World {
    folder: tempfile::TempDir,
    key: SigningKey,
    mirror: Mirror,
    recipe: PathBuf,
}

fn packages() -> Vec<PackageBuilder> {
    let mut all: Vec<PackageBuilder> = TOOLS
        .iter()
        .chain(MORE)
        .map(|name| PackageBuilder::new(name).architecture("amd64"))
        .collect();
    for name in ["apt", "base-files"] {
        all.push(
            PackageBuilder::new(name)
                .field("Essential", "yes")
                .file("./usr/share/x", name.as_bytes()),
        );
    }
    all.push(PackageBuilder::new("app").field("Depends", "lib"));
    all.push(PackageBuilder::new("lib"));
    all
}

impl World {
    fn new(facts: &ReleaseFacts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate();
        let mirror = Mirror::serve(archive(&key, facts, &packages()));
        let recipe = project(folder.path(), &key, &["app"]);
        Self {
            folder,
            key,
            mirror,
            recipe,
        }
    }

    fn lock(&self) -> (bool, String) {
        let cache = self.folder.path().join("cache");
        let mirror = format!("test={}", self.mirror.address());
        let output = run(&[
            "--cache",
            cache.to_str().unwrap(),
            "--mirror",
            &mirror,
            "lock",
            self.recipe.to_str().unwrap(),
        ]);
        (output.status.success(), text(&output))
    }

    /// Expects a refusal for this reason, and that no lock was written.
    fn refused(&self, reason: &str) {
        let (good, text) = self.lock();
        assert!(
            !good && text.contains(reason),
            "expected “{reason}”, got: {text}"
        );
        assert!(
            !self.recipe.with_extension("lock").exists(),
            "a lock was written all the same"
        );
    }

    fn set(&self, path: &str, bytes: &[u8]) {
        let mut files = archive(&self.key, &ReleaseFacts::default(), &packages());
        files.insert(path.into(), bytes.to_vec());
        self.mirror.replace(files);
    }

    fn files(&self, facts: &ReleaseFacts) -> BTreeMap<String, Vec<u8>> {
        archive(&self.key, facts, &packages())
    }
}

#[test]
fn a_signed_archive_is_locked_the_same_way_each_time_and_read_once() {
    let world = World::new(&ReleaseFacts::default());
    let (good, text) = world.lock();
    assert!(good, "{text}");
    let lock = fs_err::read_to_string(world.recipe.with_extension("lock")).unwrap();
    assert!(lock.contains("name = \"lib\""), "{lock}");
    assert!(!lock.contains("127.0.0.1"), "a lock never names a host");
    let reads = world.mirror.requests("Packages.xz");
    assert!(world.lock().0);
    assert_eq!(
        fs_err::read_to_string(world.recipe.with_extension("lock")).unwrap(),
        lock
    );
    assert_eq!(
        world.mirror.requests("Packages.xz"),
        reads,
        "unchanged indexes are not fetched again"
    );
}

#[test]
fn an_unsigned_release_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    let unsigned = world.files(&ReleaseFacts::default())["dists/test/Release.unsigned"].clone();
    world.set("dists/test/InRelease", &unsigned);
    world.refused("the file is not signed");
}

#[test]
fn a_release_by_another_key_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    let other = SigningKey::generate();
    world
        .mirror
        .replace(archive(&other, &ReleaseFacts::default(), &packages()));
    world.refused("none of its signatures is by a pinned key");
}

#[test]
fn a_release_changed_after_signing_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    let signed =
        String::from_utf8(world.files(&ReleaseFacts::default())["dists/test/InRelease"].clone())
            .unwrap();
    world.set(
        "dists/test/InRelease",
        signed.replace("Origin: Test", "Origin: Evil").as_bytes(),
    );
    world.refused("does not hold");
}

#[test]
fn text_around_the_signed_part_is_not_believed() {
    let world = World::new(&ReleaseFacts::default());
    let signed =
        String::from_utf8(world.files(&ReleaseFacts::default())["dists/test/InRelease"].clone())
            .unwrap();
    world.set(
        "dists/test/InRelease",
        format!("Suite: test\n{signed}").as_bytes(),
    );
    world.refused("the file is not signed");
}

#[test]
fn an_expired_release_is_refused() {
    let facts = ReleaseFacts {
        valid_until: Some("Sun, 13 Sep 2020 07:55:41 UTC".into()),
        ..ReleaseFacts::default()
    };
    World::new(&facts).refused("the release expired at 2020-09-13");
}

#[test]
fn a_rolled_back_release_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    assert!(world.lock().0);
    fs_err::remove_file(world.recipe.with_extension("lock")).unwrap();
    let old = ReleaseFacts {
        date: "Sat, 05 Sep 2026 07:55:41 UTC".into(),
        ..ReleaseFacts::default()
    };
    world.mirror.replace(world.files(&old));
    world.refused("the mirror was rolled back");
}

#[test]
fn a_release_of_another_suite_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    let other = ReleaseFacts {
        suite: "other".into(),
        ..ReleaseFacts::default()
    };
    let files = world.files(&other);
    world.set(
        "dists/test/InRelease",
        &files["dists/other/InRelease"].clone(),
    );
    world.refused("the release is for suite other");
}

#[test]
fn an_index_that_is_not_the_signed_one_is_refused() {
    let world = World::new(&ReleaseFacts::default());
    world.mirror.fault("Packages.xz", Fault::FlipBit);
    world.refused("but");
    world.mirror.heal();
    assert!(world.lock().0, "a healed mirror is used again");
}

#[test]
fn short_outages_and_cut_transfers_are_ridden_out() {
    let world = World::new(&ReleaseFacts::default());
    world.mirror.fault("InRelease", Fault::Status(503, 2));
    world.mirror.fault("Packages.xz", Fault::Cut(20, 2));
    let (good, text) = world.lock();
    assert!(good, "{text}");
}

#[test]
fn a_lasting_outage_is_told_with_its_address() {
    let world = World::new(&ReleaseFacts::default());
    world.mirror.fault("InRelease", Fault::Status(503, 1000));
    world.refused("/dists/test/InRelease: the mirror answers 503");
}

#[test]
fn unsatisfiable_packages_are_explained() {
    let world = World::new(&ReleaseFacts::default());
    let mut all = packages();
    all.push(PackageBuilder::new("broken").field("Depends", "nowhere (>= 2)"));
    world
        .mirror
        .replace(archive(&world.key, &ReleaseFacts::default(), &all));
    let recipe = fs_err::read_to_string(&world.recipe)
        .unwrap()
        .replace("\"app\"", "\"broken\"");
    fs_err::write(&world.recipe, recipe).unwrap();
    world.refused("broken needs nowhere (>= 2), which no source offers (broken was asked for)");
}
