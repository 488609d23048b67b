//! Raspberry Pi OS: the shipped overlay against a local signed archive of the same shape, with a
//! stand-in kernel package. Raspberry Pi's own archive cannot be reached from where this is tested.

use std::path::Path;

use bakelite_tests::archive::{ReleaseFacts, SigningKey, archive};
use bakelite_tests::bakelite::{cache, command, root, run, text, tool};
use bakelite_tests::mirror::Mirror;
use bakelite_tests::package::PackageBuilder;

const KERNEL: &str = "6.12.0-rpi-v8";

fn project(folder: &Path) {
    fs_err::create_dir_all(folder.join("overlays")).unwrap();
    for overlay in ["debian-trixie", "raspios-trixie", "raspberry-pi"] {
        let from = root().join("overlays").join(overlay);
        assert!(
            tool(
                "cp",
                &[
                    "-r",
                    from.to_str().unwrap(),
                    folder.join("overlays").to_str().unwrap()
                ]
            )
            .0
        );
    }
    let recipe = "schema = 1\nname = \"pios\"\nversion = \"1\"\nboard = \"raspberry-pi\"\ndistro = \"raspios-trixie\"\n";
    fs_err::write(folder.join("pios.toml"), recipe).unwrap();
}

fn kernel() -> [PackageBuilder; 2] {
    let mut image = vec![0; 4096];
    image[56..60].copy_from_slice(b"ARM\x64");
    let package = format!("linux-image-{KERNEL}");
    let mut kernel = PackageBuilder::new(&package)
        .file(&format!("./boot/vmlinuz-{KERNEL}"), &image)
        .file(
            &format!("./boot/config-{KERNEL}"),
            b"CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n",
        )
        .file(
            &format!("./usr/lib/{package}/overlays/dwc2.dtbo"),
            b"overlay",
        );
    for list in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        kernel = kernel.file(&format!("./usr/lib/modules/{KERNEL}/{list}"), b"");
    }
    for tree in [
        "2711-rpi-400",
        "2711-rpi-4-b",
        "2711-rpi-cm4-io",
        "2837-rpi-3-a-plus",
        "2837-rpi-3-b-plus",
        "2837-rpi-3-b",
        "2837-rpi-zero-2-w",
    ] {
        kernel = kernel.file(
            &format!("./usr/lib/{package}/broadcom/bcm{tree}.dtb"),
            b"device tree",
        );
    }
    [
        PackageBuilder::new("linux-image-rpi-v8").field("Depends", &package),
        kernel,
    ]
}

#[test]
fn the_overlay_builds_against_an_archive_of_the_same_shape() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    project(folder.path());
    let key = SigningKey::generate();
    fs_err::write(
        folder
            .path()
            .join("overlays/raspios-trixie/keys/raspberrypi-archive.asc"),
        key.public(),
    )
    .unwrap();
    let facts = ReleaseFacts {
        suite: "trixie".into(),
        ..ReleaseFacts::default()
    };
    let mirror = Mirror::serve(archive(&key, &facts, &kernel()));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs_err::create_dir(folder.path().join("cache")).unwrap();
    fs_err::os::unix::fs::symlink(
        format!("{}/vault", cache()),
        folder.path().join("cache/vault"),
    )
    .unwrap();
    let address = format!("raspberrypi={}", mirror.address());
    let output = command(&[
        "--cache",
        &path("cache"),
        "--mirror",
        &address,
        "build",
        &path("pios.toml"),
        "--out",
        &path("out"),
    ])
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let manifest = fs_err::read_to_string(folder.path().join("out/pios/1/manifest.json")).unwrap();
    assert!(
        manifest.contains(&format!("\"kernel\": \"{KERNEL}\"")),
        "{manifest}"
    );
    let inspected = text(&run(&["inspect", &path("out/pios/1/pios-1.img.zst")]));
    assert!(
        inspected.contains("pi4: starts vmlinuz") && inspected.contains("overlays/dwc2.dtbo"),
        "{inspected}"
    );
}

#[test]
fn without_the_key_nothing_is_built() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let output = run(&["check", folder.path().join("pios.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    assert!(
        said.contains("raspberrypi-archive.asc") && said.contains("source trixie has no key"),
        "{said}"
    );
}
