//! A maker's own signed archive beside Debian's: its packages go in; a script that fails is shown; a
//! build that runs out of room leaves nothing that is taken for whole.

use std::path::PathBuf;

use bakelite_tests::archive::{ReleaseFacts, SigningKey, archive};
use bakelite_tests::bakelite::{cache, command, root, text, tool};
use bakelite_tests::mirror::Mirror;
use bakelite_tests::package::PackageBuilder;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    mirror: Mirror,
}

impl World {
    /// A project with Debian, the board, and an overlay that installs `package` from its own archive.
    pub(crate) fn new(package: &str) -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let key = SigningKey::generate();
        let packages = [
            PackageBuilder::new("mine-good")
                .field("Depends", "libc6")
                .file("./usr/share/mine/file", b"mine")
                .script(
                    "postinst",
                    "#!/bin/sh\nset -e\necho configured > /usr/share/mine/configured\n",
                ),
            PackageBuilder::new("mine-broken").script(
                "postinst",
                "#!/bin/sh\necho looking for the frobnicator\necho there is none >&2\nexit 3\n",
            ),
            PackageBuilder::new("mine-slow").script("postinst", "#!/bin/sh\nsleep 60\n"),
        ];
        let mirror = Mirror::serve(archive(&key, &ReleaseFacts::default(), &packages));
        for overlay in ["debian-trixie", "raspberry-pi"] {
            let (from, to) = (
                root().join("overlays").join(overlay),
                folder.path().join("overlays"),
            );
            fs_err::create_dir_all(&to).unwrap();
            assert!(tool("cp", &["-r", from.to_str().unwrap(), to.to_str().unwrap()]).0);
        }
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        put("overlays/mine/keys/mine.asc", &key.public());
        put(
            "overlays/mine/overlay.toml",
            &format!(
                "schema = 1\ndescription = \"ours\"\nkind = \"feature\"\n[packages]\ninstall = [\"{package}\"]\n[[sources]]\narchive = \"mine\"\nsuite = \"test\"\ncomponents = [\"main\"]\nkeys = [\"keys/mine.asc\"]\n"
            ),
        );
        put(
            "recipes/r.toml",
            "schema = 1\nname = \"r\"\nversion = \"1\"\nboard = \"raspberry-pi\"\ndistro = \"debian-trixie\"\noverlays = [\"mine\"]\n",
        );
        // Debian's packages come from the vault that is there; what is built goes elsewhere.
        fs_err::create_dir(folder.path().join("cache")).unwrap();
        fs_err::os::unix::fs::symlink(
            format!("{}/vault", cache()),
            folder.path().join("cache/vault"),
        )
        .unwrap();
        Self { folder, mirror }
    }

    pub(crate) fn build(&self) -> std::process::Command {
        self.command(&[
            "build",
            &self.path("recipes/r.toml"),
            "--out",
            &self.path("out"),
        ])
    }

    /// Any command, with this world's cache and mirror.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let (cache, mirror) = (
            self.path("cache"),
            format!("mine={}", self.mirror.address()),
        );
        let mut all = vec!["--cache", &cache, "--mirror", &mirror];
        all.extend(arguments);
        command(&all)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn trees_with(&self, file: &str) -> Vec<PathBuf> {
        let trees = fs_err::read_dir(self.folder.path().join("cache/trees"))
            .into_iter()
            .flatten()
            .flatten();
        trees
            .map(|entry| entry.path())
            .filter(|tree| tree.join(file).exists())
            .collect()
    }
}

#[test]
fn a_package_of_an_own_archive_is_installed_like_any_other() {
    let world = World::new("mine-good");
    let output = world.build().output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let trees = world.trees_with("usr/share/mine/configured");
    assert_eq!(trees.len(), 1);
    assert_eq!(
        fs_err::read(trees[0].join("usr/share/mine/file")).unwrap(),
        b"mine"
    );
    let lock = fs_err::read_to_string(world.folder.path().join("out/r/1/r-1.lock")).unwrap();
    assert!(lock.contains("archive = \"mine\"") && !lock.contains("127.0.0.1"));
}

#[test]
fn a_failing_script_is_shown_with_its_package_and_leaves_nothing() {
    let world = World::new("mine-broken");
    let output = world.build().output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "postinst configure of package mine-broken failed",
        "looking for the frobnicator",
        "there is none",
    ] {
        assert!(said.contains(part), "“{part}” is not in: {said}");
    }
    assert!(
        world
            .trees_with("usr/bin/dpkg")
            .iter()
            .all(|tree| !tree.join("boot").join("firmware").exists()),
        "a broken tree was kept"
    );
    assert!(!world.folder.path().join("out/r/1").exists());
}

/// The cache on a memory file system that is too small, in a mount namespace of its own.
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let world = World::new("mine-good");
    let build = world.build();
    let words: Vec<String> = build
        .get_args()
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let cache_folder = world.folder.path().join("cache");
    let script = format!(
        "mount -t tmpfs -o size=120m tmpfs '{0}' && ln -s '{1}/vault' '{0}/vault' || exit 99\n\
         '{2}' {3}\necho \"status $?\"\necho \"trees $(ls '{0}/trees' | wc -l)\"\n",
        cache_folder.display(),
        cache(),
        bakelite_tests::bakelite::program().display(),
        words.join(" "),
    );
    let (_, said) = tool("unshare", &["--mount", "sh", "-c", &script]);
    for part in [
        "No space left on device",
        "hint: free some room",
        "status 1",
        "trees 0",
    ] {
        assert!(said.contains(part), "“{part}” is not in: {said}");
    }
    assert!(!world.folder.path().join("out/r").exists());
}
