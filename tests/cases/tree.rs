//! The tree of packages against others' work: mmdebstrap's tree of the same packages, and our own
//! with everything emulated. `docs/verification.md` lists the differences with their reasons.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bakelite_tests::bakelite::{cache, outputs, root, run, text, tool};
use content_digest::Sha256Digest;
use image_builder::lock::Lock;
use image_builder::pipeline::Keys;
use image_builder::worker::base::Emulation;
use serde::{Deserialize, Serialize};

/// One whose initramfs Debian's own tools make.
const RECIPE: &str = "recipes/kvm-test.toml";

/// Paths that mmdebstrap's tree and ours may differ in, and why. A trailing `/*` means all below.
const AGAINST_MMDEBSTRAP: &[(&str, &str)] = &[
    (
        "/dev/*",
        "mmdebstrap makes device nodes; the kernel makes them on the device",
    ),
    (
        "/boot/firmware/*",
        "raspi-firmware's hook reads the build machine; we write the boot partition ourselves",
    ),
    ("/boot/initrd.img-*", "made once, after the overlays"),
    ("/etc/apt/apt.conf.d/99mmdebstrap", "mmdebstrap's own"),
    (
        "/etc/apt/sources.list",
        "mmdebstrap's own; ours come with the overlays",
    ),
    (
        "/etc/apt/sources.list.d/*",
        "mmdebstrap's own; ours come with the overlays",
    ),
    ("/etc/fstab", "mmdebstrap's own; ours comes with the recipe"),
    ("/etc/hostname", "the build machine's"),
    ("/etc/resolv.conf", "the build machine's"),
    (
        "/etc/passwd",
        "ids are given in the order of scripts; apt orders some otherwise",
    ),
    ("/etc/passwd-", "as above"),
    ("/etc/group", "as above"),
    ("/etc/group-", "as above"),
    (
        "/etc/shadow",
        "as above, and the day of the last password change",
    ),
    ("/etc/shadow-", "as above"),
    ("/etc/gshadow", "as above"),
    ("/etc/gshadow-", "as above"),
    (
        "/usr/bin/ssh-agent",
        "belongs to a group whose number differs, as above",
    ),
    (
        "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
        "belongs to a group whose number differs, as above",
    ),
    ("/etc/machine-id", "made on the device"),
    ("/etc/ssh/ssh_host_*", "made on the device"),
    ("/run/*", "a memory file system on the device"),
    ("/var/cache/apt/*", "apt did not run in our tree"),
    ("/var/lib/apt/*", "apt did not run in our tree"),
    ("/var/log/*", "logs of the build"),
    (
        "/var/cache/debconf/config.dat",
        "names of owners depend on how debconf was started",
    ),
    ("/var/cache/debconf/*-old", "backups"),
    ("/var/cache/ldconfig/aux-cache", "made anew when needed"),
    ("/var/lib/dpkg/*-old", "backups"),
    (
        "/var/lib/dpkg/arch",
        "mmdebstrap names the architecture; dpkg knows it",
    ),
    ("/var/lib/dpkg/available", "for dselect; empty"),
    ("/var/lib/dpkg/status", "order of the packages"),
    ("/var/lib/dpkg/triggers/File", "order of the lines"),
];
/// Paths that the emulated and the accelerated tree may differ in.
const AGAINST_STRICT: &[(&str, &str)] = &[];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    contents: String,
}

type Tree = BTreeMap<String, Facts>;

fn facts(tree: &Path) -> Tree {
    let mut found = BTreeMap::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs_err::symlink_metadata(&path).unwrap();
            let contents = if data.is_symlink() {
                fs_err::read_link(&path).unwrap().display().to_string()
            } else if data.is_file() {
                Sha256Digest::of_file(&path).unwrap().0.to_string()
            } else {
                String::new()
            };
            if data.is_dir() {
                folders.push(path.clone());
            }
            let name = format!("/{}", path.strip_prefix(tree).unwrap().display());
            let mode = if data.is_symlink() {
                0
            } else {
                data.mode() & 0o7777
            };
            found.insert(
                name,
                Facts {
                    kind: data.mode() & 0o170_000,
                    mode,
                    owner: (data.uid(), data.gid()),
                    contents,
                },
            );
        }
    }
    found
}

fn is_listed(path: &str, list: &[(&str, &str)]) -> bool {
    list.iter()
        .any(|(pattern, _)| match pattern.split_once('*') {
            Some((start, end)) => path.starts_with(start) && path.ends_with(end),
            None => path == *pattern,
        })
}

/// Returns every difference that is not listed.
fn differences(ours: &Tree, other: &Tree, list: &[(&str, &str)]) -> Vec<String> {
    assert!(
        ours.len() > 10_000,
        "the tree has only {} entries",
        ours.len()
    );
    let mut found = Vec::new();
    for path in ours
        .keys()
        .chain(other.keys().filter(|path| !ours.contains_key(*path)))
    {
        if ours.get(path) != other.get(path) && !is_listed(path, list) {
            found.push(format!(
                "{path}: ours {:?}, theirs {:?}",
                ours.get(path),
                other.get(path)
            ));
        }
    }
    found
}

fn capabilities(tree: &Path) -> Vec<String> {
    let (good, text) = tool("/usr/sbin/getcap", &["-r", tree.to_str().unwrap()]);
    assert!(good, "{text}");
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.replace(tree.to_str().unwrap(), ""))
        .collect();
    lines.sort();
    lines
}

/// Builds the recipe, if nobody did. Returns its lock.
fn lock() -> PathBuf {
    let output = run(&["build", RECIPE]);
    assert!(output.status.success(), "{}", text(&output));
    outputs("kvm-test").join("kvm-test-0.1.0.lock")
}

/// Returns the base tree and the initramfs that a build with this kind of emulation made.
fn made(emulation: Emulation) -> (PathBuf, PathBuf) {
    let recipe = image_builder::recipe::load(&root().join(RECIPE)).unwrap();
    let lock = Lock::read(&lock()).unwrap();
    // The agent has no part in these keys.
    let recipe = image_builder::Recipe {
        agent: false,
        ..recipe
    };
    let host = image_builder::Host {
        architecture: "amd64".into(),
        cache: cache().into(),
        executable: bakelite_tests::bakelite::program(),
        threads: 2,
        now: 0,
        mirrors: image_builder::mirror::Mirrors::default(),
        rust: None,
    };
    let keys = Keys::of(&recipe, &host, &lock, emulation).unwrap();
    let tree = host.cache_folder("trees").join(keys.base.short());
    (
        tree,
        host.cache_folder("results")
            .join(keys.initramfs.expect("layout single has one").short())
            .join("initrd.img"),
    )
}

/// Returns what mmdebstrap makes of the packages of a lock, and the capabilities of its files. That takes ten minutes, and hangs on
/// nothing of ours: for the same packages, and the same tools, it is done once.
fn by_mmdebstrap(lock: &Path) -> (Tree, Vec<String>) {
    let script = root().join("tests/mmdebstrap.sh");
    let packages = Lock::read(lock).unwrap().image;
    let packages: Vec<_> = packages
        .iter()
        .map(|package| (&package.name, package.sha256))
        .collect();
    let (_, version) = tool("dpkg-query", &["-W", "mmdebstrap", "apt", "qemu-user*"]);
    let inputs = format!(
        "{packages:?}\n{version}\n{}",
        fs_err::read_to_string(&script).unwrap()
    );
    let name = format!("judges/mmdebstrap-{}.json", Sha256Digest::of(inputs));
    let kept = Path::new(&cache()).join(name);
    if let Ok(bytes) = fs_err::read(&kept) {
        return serde_json::from_slice(&bytes).unwrap();
    }
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let vault = format!("{}/vault", cache());
    let words = [script.as_path(), Path::new(&vault), lock, folder.path()];
    let (good, text) = tool("bash", &words.map(|word| word.to_str().unwrap()));
    assert!(good, "{text}");
    let tree = folder.path().join("tree");
    let made = (facts(&tree), capabilities(&tree));
    fs_err::create_dir_all(kept.parent().unwrap()).unwrap();
    let part = kept.with_extension("part");
    fs_err::write(&part, serde_json::to_vec(&made).unwrap()).unwrap();
    fs_err::rename(part, kept).unwrap();
    made
}

#[test]
fn mmdebstrap_makes_the_same_tree() {
    let (theirs, their_capabilities) = by_mmdebstrap(&lock());
    let (ours, _) = made(Emulation::Accelerated);
    let found = differences(&facts(&ours), &theirs, AGAINST_MMDEBSTRAP);
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
    assert_eq!(capabilities(&ours), their_capabilities);
}

#[test]
fn emulating_everything_makes_the_same_tree() {
    let out = tempfile::tempdir().unwrap();
    let output = run(&[
        "build",
        RECIPE,
        "--strict-emulation",
        "--lock",
        lock().to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let (accelerated, initramfs) = made(Emulation::Accelerated);
    let (strict, strict_initramfs) = made(Emulation::Strict);
    let found = differences(&facts(&accelerated), &facts(&strict), AGAINST_STRICT);
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
    assert_eq!(
        Sha256Digest::of_file(&initramfs).unwrap(),
        Sha256Digest::of_file(&strict_initramfs).unwrap()
    );
    assert_eq!(capabilities(&accelerated), capabilities(&strict));
}
