//! Packages are fetched once, whole, and verified; trouble on the way is ridden out or told.

use bakelite_tests::bakelite::program;
use bakelite_tests::mirror::{Fault, Mirror};
use content_digest::Sha256Digest;
use image_builder::Host;
use image_builder::download::Downloader;
use image_builder::lock::LockedPackage;
use image_builder::mirror::Mirrors;
use image_builder::vault::{Vault, VaultError};

const SIZE: usize = 300_000;

struct World {
    _folder: tempfile::TempDir,
    host: Host,
    mirror: Mirror,
    package: LockedPackage,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let package = LockedPackage {
        name: "sample".into(),
        version: "1".parse().unwrap(),
        architecture: "arm64".into(),
        archive: "test".into(),
        path: "pool/sample.deb".into(),
        size: bytes.len() as u64,
        sha256: Sha256Digest::of(&bytes),
        source: "sample".into(),
        source_version: "1".into(),
        installed_kib: 1,
        seen: "20260912T075541Z".into(),
        mirror: None,
    };
    let mirror = Mirror::serve([("pool/sample.deb".to_owned(), bytes)].into());
    let mut mirrors = Mirrors::default();
    mirrors.set("test", mirror.address());
    mirrors.set("snapshot", &format!("{}/snapshot", mirror.address()));
    let host = Host {
        architecture: "amd64".into(),
        cache: folder.path().into(),
        executable: program(),
        threads: 2,
        now: 0,
        mirrors,
        rust: None,
    };
    World {
        _folder: folder,
        host,
        mirror,
        package,
    }
}

impl World {
    fn fill(&self) -> Result<(), VaultError> {
        Vault::new(&self.host).fill(
            &self.host,
            &Downloader::new().unwrap(),
            &[&self.package],
            &mut |_| {},
        )
    }

    fn file(&self) -> std::path::PathBuf {
        Vault::new(&self.host).path(&self.package.sha256)
    }
}

#[test]
fn a_package_is_downloaded_once_ever() {
    let world = world();
    world.fill().unwrap();
    world.fill().unwrap();
    assert_eq!(world.mirror.requests("sample.deb"), 1);
    assert_eq!(
        Sha256Digest::of_file(&world.file()).unwrap().0,
        world.package.sha256
    );
}

#[test]
fn of_several_builds_that_share_a_vault_one_fetches() {
    let world = world();
    let begin = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                begin.wait();
                world.fill().unwrap();
            });
        }
    });
    assert_eq!(world.mirror.requests("sample.deb"), 1);
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let world = world();
    world.mirror.fault("sample.deb", Fault::Cut(100_000, 2));
    world.fill().unwrap();
    assert_eq!(
        Sha256Digest::of_file(&world.file()).unwrap().0,
        world.package.sha256
    );
}

#[test]
fn a_package_with_a_wrong_hash_never_gets_its_name() {
    let world = world();
    world.mirror.fault("sample.deb", Fault::FlipBit);
    let error = world.fill().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains("the mirror is broken or hostile"),
        "{source}"
    );
    assert!(!world.file().exists());
    world.mirror.heal();
    world.fill().unwrap();
}

#[test]
fn a_package_that_the_mirror_dropped_comes_from_the_snapshot_archive() {
    let world = world();
    let bytes: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect();
    world.mirror.replace(
        [(
            "snapshot/test/20260912T075541Z/pool/sample.deb".to_owned(),
            bytes,
        )]
        .into(),
    );
    world.fill().unwrap();
    assert!(world.file().exists());
}

#[test]
fn a_package_that_is_nowhere_is_named() {
    let world = world();
    world.mirror.replace([].into());
    let error = world.fill().unwrap_err();
    assert!(matches!(error, VaultError::Vanished { .. }), "{error}");
    assert!(
        error.to_string().contains("package sample 1 is gone"),
        "{error}"
    );
}
