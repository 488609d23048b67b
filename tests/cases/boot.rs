//! The image in a machine: it boots, is healthy, keeps its identity, and shares it with no other.

use std::collections::BTreeMap;
use std::path::Path;

use bakelite_tests::bakelite::{outputs, root, run, text};

/// Boots a disk until the device has checked itself and switched off. Returns its facts.
fn boot(folder: &Path, name: &str) -> BTreeMap<String, String> {
    let image = outputs("kvm-test").join("kvm-test-0.1.0.img.zst");
    let disk = folder.join(format!("{name}.img"));
    let port = (20_000 + std::process::id() % 20_000).to_string();
    let output = run(&[
        "boot",
        image.to_str().unwrap(),
        "--disk",
        disk.to_str().unwrap(),
        "--until",
        "off",
        "--timeout",
        "600",
        "--port",
        &port,
    ]);
    let console = fs_err::read(disk.with_extension("console")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    assert!(output.status.success(), "{}\n{console}", text(&output));
    let facts: BTreeMap<String, String> = console
        .lines()
        .filter_map(|line| line.split("SELF-CHECK ").nth(1)?.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(
        facts.get("finished").map(String::as_str),
        Some("yes"),
        "{console}"
    );
    facts
}

#[test]
fn a_device_boots_healthy_keeps_its_identity_and_shares_it_with_no_other() {
    let output = run(&["build", "recipes/kvm-test.toml"]);
    assert!(output.status.success(), "{}", text(&output));
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let first = boot(folder.path(), "one");
    let expected = [
        ("state", "running"),
        ("failed-units", "0"),
        ("hostname", "kvm-test"),
        ("boot-mounted", "vfat"),
        ("agent-user", "bakelite"),
        ("audit-status", "0"),
        ("audit", "0"),
        ("apt-check", "0"),
        ("verify", "0"),
        ("verify-tampered", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(
            first.get(name).map(String::as_str),
            Some(value),
            "{name}: {first:?}"
        );
    }
    let size: u64 = first["root-mib"].parse().unwrap();
    assert!(
        size > 3_500,
        "the root partition grew to the disk of 4 GiB: {size} MiB"
    );

    let second = boot(folder.path(), "one");
    let other = boot(folder.path(), "two");
    for identity in ["machine-id", "ssh-key", "agent-key", "claim-code"] {
        assert!(first[identity].len() > 8, "{identity}: {first:?}");
        assert_eq!(first[identity], second[identity], "{identity} is kept");
        assert_ne!(
            first[identity], other[identity],
            "{identity} is each device's own"
        );
    }
    assert_eq!(second["failed-units"], "0");
}

#[test]
fn the_product_image_answers_over_https() {
    let image = outputs("kvm").join("kvm-0.1.0.img.zst");
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let disk = folder.path().join("disk.img");
    let port = (40_000 + std::process::id() % 20_000).to_string();
    let output = run(&[
        "boot",
        image.to_str().unwrap(),
        "--disk",
        disk.to_str().unwrap(),
        "--until",
        "healthy",
        "--timeout",
        "400",
        "--port",
        &port,
    ]);
    assert!(
        output.status.success() && text(&output).contains("healthy after"),
        "{}",
        text(&output)
    );
}
