//! The solver against apt: the same packages for the shipped recipe and for many other sets.

use std::collections::BTreeSet;

use bakelite_tests::bakelite::{outputs, root, tool};
use image_builder::lock::Lock;

#[test]
fn the_solver_installs_what_apt_installs() {
    let lock = Lock::read(&outputs("kvm").join("kvm-0.1.0.lock")).unwrap();
    let image: Vec<&str> = lock
        .image
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut sets: Vec<Vec<&str>> = SETS.iter().map(|set| set.split(' ').collect()).collect();
    sets.push(image);
    assert!(sets.len() > 30);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sets");
    let lines: Vec<String> = sets.iter().map(|set| set.join(" ")).collect();
    fs_err::write(&file, lines.join("\n") + "\n").unwrap();
    let script = root().join("tests/apt-judge.sh");
    let (good, text) = tool("bash", &[script.to_str().unwrap(), file.to_str().unwrap()]);
    assert!(good, "{text}");
    let answers: Vec<BTreeSet<String>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SET "))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert_eq!(answers.len(), sets.len(), "{text}");

    let universe = universe();
    let mut differences = Vec::new();
    for (set, by_apt) in sets.iter().zip(&answers) {
        let wanted: Vec<String> = set.iter().map(|name| (*name).to_owned()).collect();
        let ours: BTreeSet<String> = match apt_repository::solver::solve(&universe, &wanted) {
            Ok(solution) => solution
                .packages
                .iter()
                .map(|(package, _)| package.name.clone())
                .collect(),
            Err(error) => BTreeSet::from([format!("error: {error}")]),
        };
        if ours != *by_apt {
            let more: Vec<_> = ours.difference(by_apt).collect();
            let less: Vec<_> = by_apt.difference(&ours).collect();
            let shown = &set[..set.len().min(4)];
            differences.push(format!(
                "{shown:?}: only ours {more:?}, only apt's {less:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The indexes that the build has in its cache.
fn universe() -> apt_repository::Universe {
    let recipe = image_builder::recipe::load(&root().join("recipes/kvm.toml")).unwrap();
    let cache = std::path::PathBuf::from(bakelite_tests::bakelite::cache());
    let host = image_builder::Host {
        architecture: "amd64".into(),
        cache,
        executable: bakelite_tests::bakelite::program(),
        threads: 2,
        now: 0,
        mirrors: image_builder::mirror::Mirrors::of_host(std::path::Path::new("/etc/apt")),
        rust: None,
    };
    let downloader = image_builder::download::Downloader::new().unwrap();
    let sources =
        image_builder::index::verify_releases(&host, &downloader, &recipe.sources()).unwrap();
    image_builder::index::load_universe(&host, &downloader, &sources, "arm64").unwrap()
}

/// Alternatives, virtual packages, versioned provides, languages, servers, desktops.
const SETS: &[&str] = &[
    "apache2",
    "nginx",
    "lighttpd",
    "postgresql",
    "mariadb-server",
    "redis-server",
    "exim4",
    "postfix",
    "dovecot-imapd",
    "python3-flask",
    "python3-numpy",
    "python3-pip",
    "nodejs",
    "golang",
    "rustc cargo",
    "gcc g++ make",
    "build-essential",
    "default-jre-headless",
    "openssh-server avahi-daemon",
    "network-manager wpasupplicant",
    "systemd-resolved chrony",
    "docker.io",
    "podman",
    "qemu-system-arm",
    "gstreamer1.0-plugins-good",
    "ffmpeg",
    "v4l-utils",
    "libcamera-tools",
    "emacs-nox",
    "vim",
    "git",
    "tmux htop",
    "xfce4",
    "chromium",
    "firefox-esr",
    "samba",
    "nfs-kernel-server",
    "linux-image-arm64 raspi-firmware",
    "debhelper",
    "texlive-base",
    "php",
    "ruby",
    "r-base-core",
    "wordpress",
];
