//! Hostile packages: refused by name, and nothing outside the tree is touched.

use std::path::PathBuf;

use bakelite_tests::bakelite::program;
use bakelite_tests::package::PackageBuilder;
use content_digest::Sha256Digest;
use image_builder::Host;
use image_builder::dpkg::PackageFile;
use image_builder::mirror::Mirrors;
use image_builder::sandbox::{self, Bind, Confinement, Network, Root, SandboxError};
use image_builder::worker::Task;
use image_builder::worker::base::Unpack;
use tar::EntryType;

struct World {
    folder: tempfile::TempDir,
    host: Host,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["vault", "tree", "outside"] {
            fs_err::create_dir(folder.path().join(name)).unwrap();
        }
        fs_err::write(folder.path().join("outside/precious"), "untouched").unwrap();
        let host = Host {
            architecture: "amd64".into(),
            cache: folder.path().join("cache"),
            executable: program(),
            threads: 2,
            now: 0,
            mirrors: Mirrors::default(),
            rust: None,
        };
        Self { folder, host }
    }

    fn unpack(&self, packages: &[(&str, PackageBuilder)]) -> Result<(), String> {
        let files = packages.iter().map(|(name, package)| {
            let deb = package.build();
            fs_err::write(self.folder.path().join("vault").join(name), &deb).unwrap();
            PackageFile {
                name: (*name).into(),
                path: PathBuf::from(name),
                sha256: Sha256Digest::of(&deb),
                installed_kib: 1,
            }
        });
        let task = Task::Unpack(Unpack {
            packages: files.collect(),
            confinement: Confinement {
                root: Root::Folder(self.tree()),
                binds: vec![Bind {
                    from: self.folder.path().join("vault"),
                    to: ".bakelite/vault".into(),
                    writable: false,
                }],
                emulator: None,
            },
            threads: 2,
        });
        let result = sandbox::run(&self.host, Network::None, &task, &mut |_| {});
        assert_eq!(
            fs_err::read_to_string(self.folder.path().join("outside/precious")).unwrap(),
            "untouched"
        );
        assert_eq!(
            fs_err::read_dir(self.folder.path().join("outside"))
                .unwrap()
                .count(),
            1
        );
        match result {
            Ok(_) => Ok(()),
            Err(SandboxError::Task { causes, .. }) => Err(causes.join(": ")),
            Err(other) => Err(other.to_string()),
        }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }
}

#[test]
fn a_plain_package_unpacks() {
    let world = World::new();
    world
        .unpack(&[(
            "good",
            PackageBuilder::new("good").file("./usr/bin/good", b"hello"),
        )])
        .unwrap();
    assert_eq!(
        fs_err::read(world.tree().join("usr/bin/good")).unwrap(),
        b"hello"
    );
    assert!(!world.tree().join(".bakelite").exists());
}

#[test]
fn entries_that_lead_out_are_refused() {
    for path in [
        "../outside/evil",
        "./usr/../../outside/evil",
        "usr/bin/../../../outside/evil",
    ] {
        let error = World::new()
            .unpack(&[("evil", PackageBuilder::new("evil").file(path, b"x"))])
            .unwrap_err();
        assert!(error.contains("has a “..” in it"), "{path}: {error}");
    }
}

#[test]
fn links_cannot_lead_a_later_entry_out() {
    let world = World::new();
    let outside = world.folder.path().join("outside");
    for target in [
        outside.to_str().unwrap(),
        "../../../../../../../../../tmp",
        "/",
    ] {
        let package = PackageBuilder::new("evil")
            .entry(EntryType::Symlink, "./usr", Some(target), b"")
            .file("./usr/evil", b"x");
        // Whether it unpacks or not, it stays in the tree: `unpack` checks what lies outside.
        drop(World::new().unpack(&[("evil", package.clone())]));
        drop(world.unpack(&[("evil", package)]));
    }
    assert!(!std::path::Path::new("/evil").exists());
    assert!(!std::path::Path::new("/tmp/evil").exists());
}

#[test]
fn a_hard_link_cannot_fetch_a_file_of_the_host() {
    let world = World::new();
    let secret = world.folder.path().join("outside/precious");
    let package = PackageBuilder::new("evil").entry(
        EntryType::Link,
        "./stolen",
        Some(secret.to_str().unwrap()),
        b"",
    );
    let result = world.unpack(&[("evil", package)]);
    assert!(result.is_err());
    assert!(!world.tree().join("stolen").exists());
}

#[test]
fn device_nodes_are_refused() {
    for kind in [EntryType::Block, EntryType::Char, EntryType::Fifo] {
        let package = PackageBuilder::new("evil").entry(kind, "./dev/sda", None, b"");
        let error = World::new().unpack(&[("evil", package)]).unwrap_err();
        assert!(error.contains("special files are refused"), "{error}");
    }
}

#[test]
fn a_decompression_bomb_is_stopped() {
    let bomb = vec![0; 300 << 20];
    let error = World::new()
        .unpack(&[("bomb", PackageBuilder::new("bomb").file("./bomb", &bomb))])
        .unwrap_err();
    assert!(
        error.contains("far more than its archive states"),
        "{error}"
    );
}

#[test]
fn two_packages_with_one_file_are_told_apart_from_a_replacement() {
    // Enough files that both threads meet at some of them.
    let package = |name: &str| {
        (0..500).fold(PackageBuilder::new(name), |package, number| {
            package.file(&format!("./usr/share/x/{number}"), name.as_bytes())
        })
    };
    let error = World::new()
        .unpack(&[("one", package("one")), ("two", package("two"))])
        .unwrap_err();
    assert!(error.contains("neither replaces the other"), "{error}");
    for order in [["one", "two"], ["two", "one"]] {
        let world = World::new();
        let packages = order.map(|name| {
            let package = package(name);
            if name == "two" {
                (name, package.field("Replaces", "one"))
            } else {
                (name, package)
            }
        });
        world.unpack(&packages).unwrap();
        for number in 0..500 {
            let path = world.tree().join(format!("usr/share/x/{number}"));
            let found = fs_err::read_to_string(path).unwrap();
            assert_eq!(found, "two", "{order:?}, file {number}");
        }
    }
}

#[test]
fn a_package_that_changed_in_the_vault_is_refused() {
    let world = World::new();
    let deb = PackageBuilder::new("a").file("./x", b"x").build();
    fs_err::write(world.folder.path().join("vault/a"), &deb).unwrap();
    let file = PackageFile {
        name: "a".into(),
        path: "a".into(),
        sha256: Sha256Digest::of("another"),
        installed_kib: 1,
    };
    let task = Task::Unpack(Unpack {
        packages: vec![file],
        confinement: Confinement {
            root: Root::Folder(world.tree()),
            binds: vec![Bind {
                from: world.folder.path().join("vault"),
                to: ".bakelite/vault".into(),
                writable: false,
            }],
            emulator: None,
        },
        threads: 1,
    });
    let error = sandbox::run(&world.host, Network::None, &task, &mut |_| {}).unwrap_err();
    let error = error.inner_causes().join(": ");
    assert!(error.contains("the vault is damaged"), "{error}");
}
