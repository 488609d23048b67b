//! House rules that a tool can check.

use std::path::{Path, PathBuf};

use bakelite_tests::bakelite::{root, tool};

fn tracked(pattern: &str) -> Vec<PathBuf> {
    let root = root();
    let (good, text) = tool(
        "git",
        &[
            "-C",
            root.to_str().unwrap(),
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            pattern,
        ],
    );
    assert!(good, "{text}");
    text.lines()
        .map(|line| root.join(line))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn no_test_file_is_forgotten() {
    let list = fs_err::read_to_string(root().join("tests/cases/main.rs")).unwrap();
    for file in tracked("tests/cases/*.rs") {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            name == "main" || list.contains(&format!("mod {name};")),
            "{name}.rs is not in main.rs"
        );
    }
}

#[test]
fn no_source_file_grows_past_800_lines() {
    for file in tracked("*.rs") {
        let lines = fs_err::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
    }
}

#[test]
fn scripts_stay_small() {
    for file in tracked("scripts/*") {
        let lines = fs_err::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= 80,
            "{} has {lines} lines: what is long belongs into Rust",
            file.display()
        );
    }
}

/// Which rooms a room may use (ARCHITECTURE.md).
const ALLOWED: &[(&str, &[&str])] = &[
    ("formats/content-digest", &[]),
    ("formats/artifact-manifest", &["content-digest"]),
    ("formats/block-map", &["content-digest"]),
    ("formats/boot-partition", &[]),
    ("formats/verity-tree", &["content-digest"]),
    ("formats/agent-region", &["content-digest"]),
    ("formats/ota-bundle", &["content-digest", "verity-tree"]),
    ("formats/update-trust", &["content-digest"]),
    (
        "flash",
        &[
            "artifact-manifest",
            "block-map",
            "boot-partition",
            "content-digest",
            "device-settings",
        ],
    ),
    ("image-builder/apt", &["content-digest"]),
    (
        "image-builder",
        &[
            "agent-region",
            "apt-repository",
            "artifact-manifest",
            "block-map",
            "boot-partition",
            "content-digest",
            "device-settings",
            "ota-bundle",
            "verity-tree",
        ],
    ),
    (
        "agent/update",
        &[
            "agent-region",
            "boot-partition",
            "content-digest",
            "ota-bundle",
            "update-trust",
            "verity-tree",
        ],
    ),
    (
        "agent/init",
        &[
            "agent-region",
            "agent-update",
            "boot-partition",
            "verity-tree",
        ],
    ),
    ("agent/sys", &[]),
    ("agent/device", &["device-settings"]),
    ("agent/boot-settings", &["agent-device", "device-settings"]),
    ("agent/input", &["agent-sys"]),
    ("agent/access", &["agent-device"]),
    ("agent/video", &["agent-sys"]),
    ("agent/webrtc", &["agent-video"]),
    ("agent/page", &[]),
    ("agent/power", &["agent-device"]),
    ("formats/device-settings", &[]),
    ("formats/flash-record", &["content-digest"]),
    ("agent/network", &["agent-device", "device-settings"]),
    ("agent/media", &["agent-device", "agent-helper"]),
    ("agent/helper", &["agent-input", "agent-network"]),
    ("agent/https", &[]),
    ("agent/fetch", &[]),
    ("agent/client", &["agent-update"]),
    (
        "agent/api",
        &[
            "agent-access",
            "agent-device",
            "agent-fetch",
            "agent-helper",
            "agent-https",
            "agent-input",
            "agent-media",
            "agent-network",
            "agent-page",
            "agent-power",
            "agent-sys",
            "agent-update",
            "agent-video",
            "agent-webrtc",
        ],
    ),
    (
        "agent",
        &[
            "agent-access",
            "agent-api",
            "agent-boot-settings",
            "agent-device",
            "agent-fetch",
            "agent-helper",
            "agent-https",
            "agent-input",
            "agent-media",
            "agent-power",
            "agent-region",
            "agent-sys",
            "agent-update",
            "agent-video",
            "agent-webrtc",
            "content-digest",
            "device-settings",
            "ota-bundle",
            "update-trust",
        ],
    ),
    ("release", &["artifact-manifest", "content-digest"]),
    (
        "release/automation",
        &[
            "artifact-manifest",
            "content-digest",
            "release",
            "release-stores",
        ],
    ),
    ("release/stores", &["content-digest"]),
    ("release/dashboard", &["content-digest", "release"]),
    (
        "release/channel",
        &[
            "content-digest",
            "ota-bundle",
            "release-stores",
            "update-trust",
        ],
    ),
    (
        "cli",
        &[
            "agent-client",
            "agent-update",
            "artifact-manifest",
            "content-digest",
            "device-settings",
            "flash",
            "flash-record",
            "image-builder",
            "release",
            "release-automation",
            "release-channel",
            "release-dashboard",
            "release-stores",
            "update-trust",
        ],
    ),
];

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let rooms = [
        "content-digest",
        "artifact-manifest",
        "block-map",
        "boot-partition",
        "device-settings",
        "flash-record",
        "verity-tree",
        "agent-region",
        "ota-bundle",
        "update-trust",
        "apt-repository",
        "image-builder",
        "flash",
        "release",
        "release-automation",
        "release-dashboard",
        "release-channel",
        "release-stores",
        "agent-boot-settings",
        "agent-client",
        "agent-device",
        "agent-fetch",
        "agent-https",
        "agent-input",
        "agent-sys",
        "agent-access",
        "agent-helper",
        "agent-api",
        "agent-video",
        "agent-media",
        "agent-page",
        "agent-network",
        "agent-power",
        "agent-update",
        "agent-webrtc",
        "bakelite-init",
        "bakelite-agent",
        "bakelite",
    ];
    for (folder, may_use) in ALLOWED {
        let text = fs_err::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap();
        for room in rooms {
            let used = dependencies
                .lines()
                .any(|line| line.starts_with(&format!("{room}.workspace")));
            assert!(!used || may_use.contains(&room), "{folder} uses {room}");
        }
    }
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let own = ["/work", "/farm"].map(|place| format!("{place}/"));
    for file in tracked("*") {
        let text = String::from_utf8_lossy(&fs_err::read(&file).unwrap()).into_owned();
        assert!(
            !own.iter().any(|place| text.contains(place)),
            "{}",
            file.display()
        );
    }
}

#[test]
fn every_document_link_leads_somewhere() {
    for file in tracked("*.md") {
        let text = fs_err::read_to_string(&file).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = file.parent().unwrap_or(Path::new(".")).join(target);
            assert!(path.exists(), "{}: {link}", file.display());
        }
    }
}
