//! A card is written with settings, and the device has them at its first start.

use std::path::Path;

use bakelite_tests::bakelite::{command, outputs, root, run, text, tool};
use bakelite_tests::device::{ACCESS_POINTS, Device};
use device_settings::example;
use serde_json::{Value, json};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@home";

/// Writes the probe image to a disk in a file, as to a card. Returns the claim code that was made for it.
fn flash(folder: &Path) -> String {
    let disk = folder.join("device.img");
    fs_err::File::create(&disk)
        .unwrap()
        .set_len(4 << 30)
        .unwrap();
    let key = folder.join("key.pub");
    fs_err::write(&key, format!("{KEY}\n")).unwrap();
    let (good, said) = tool("losetup", &["--find", "--show", disk.to_str().unwrap()]);
    assert!(good, "{said}");
    let node = said.trim();
    let build = outputs("kvm-probe");
    let output = command(&[
        "--json",
        "flash",
        build.to_str().unwrap(),
        node,
        "--yes",
        "--unusual",
    ])
    .args(["--hostname", "Rack-{n}", "--ssh-key", key.to_str().unwrap()])
    .args([
        "--wi-fi",
        "Workshop",
        "--country",
        "DE",
        "--claim-code",
        "new",
    ])
    .env("BAKELITE_WIFI_PASSWORD", "drill and lathe")
    .output()
    .unwrap();
    tool("losetup", &["--detach", node]);
    assert!(output.status.success(), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text(&output).contains("lathe"), "the password is told");
    let answer: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let card = &answer["answer"][0];
    assert_eq!(
        (&card["result"], &card["hostname"]),
        (&json!("verified"), &json!("rack-1"))
    );
    card["claim_code"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_set_with_the_card_holds_from_the_first_start() {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let output = run(&["build", "recipes/kvm-probe.toml"]);
    assert!(output.status.success(), "{}", text(&output));
    let code = flash(folder.path());
    let device = &mut Device::boot(folder.path());

    let claim = json!({ "code": code, "user": "admin", "password": "correct horse" });
    let (status, answer) = device.ask("POST", "/api/v1/claim", &claim);
    assert_eq!(status, 200, "{answer}");
    let failed = device.shell("systemctl --failed --no-legend --plain");
    assert_eq!(failed, "", "a unit failed");
    assert_eq!(
        device.shell("hostname; cat /etc/hostname").trim(),
        "rack-1\nrack-1"
    );
    let names = "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName";
    let names = device.shell(names);
    assert!(names.contains("rack-1.local"), "{names}");
    assert_eq!(device.shell("cat /root/.ssh/authorized_keys").trim(), KEY);
    // Nothing of it is left on the card, nor in the log.
    let left = device.shell("sha256sum </boot/firmware/settings.txt");
    let digest = content_digest::Sha256Digest::of(example());
    assert!(left.contains(&digest.to_string()), "{left}");
    let told = device.shell(
        "journalctl --no-pager | grep -c 'drill and lathe'; grep -a -c 'drill and lathe' $(findmnt --noheadings --output SOURCE /boot/firmware)",
    );
    assert_eq!(told.trim(), "0\n0", "the password was written down");

    // The device looks for its network meanwhile, so this may take longer than a shell may be silent.
    device.shell(&format!(
        "cat >/run/air.sh <<'END'\n{ACCESS_POINTS}\nEND\nsystemd-run --quiet --unit=air sh /run/air.sh"
    ));
    let air = "journalctl --no-pager --output=cat --unit=air";
    device.await_shell(air, |said| said.contains("on the air"));
    device.await_shell(
        "nmcli --get-values GENERAL.CONNECTION,GENERAL.STATE device show wlan0; \
         journalctl --no-pager --output=cat --unit=NetworkManager --unit=wpa_supplicant --lines=30",
        |said| said.starts_with("Workshop\n100"),
    );
    device.await_shell("iw reg get", |said| said.contains("country DE"));

    // Somebody edits the card on another computer: an address by hand, and then a slip.
    let edit = |text: &str| {
        device.shell(&format!(
            "cat >/boot/firmware/settings.txt <<'END'\n{text}\nEND\nsystemctl start bakelite-settings; systemctl is-failed bakelite-settings"
        ))
    };
    edit(
        "[network]\r\nconnection = \"wired\"\r\naddress = \"10.0.2.15/24\"\r\ngateway = \"10.0.2.2\"\r\nname-servers = [\"10.0.2.3\"]\r",
    );
    let port = device.port;
    device.cut_power(port);
    let wired = device
        .shell("nmcli --get-values ipv4.method,ipv4.addresses,ipv4.gateway connection show Wired");
    assert_eq!(wired.trim(), "manual\n10.0.2.15/24\n10.0.2.2");
    let active = "nmcli --get-values NAME connection show --active";
    device.await_shell(active, |said| said.lines().any(|line| line == "Wired"));
    let said = device.shell(
        "printf '[system]\\nhostnam = \"x\"\\n' >/boot/firmware/settings.txt; systemctl start bakelite-settings 2>/dev/null; cat /boot/firmware/settings-error.txt /boot/firmware/settings.txt; hostname",
    );
    assert!(
        said.contains("line 2") && said.contains("hostnam") && said.ends_with("rack-1\n"),
        "{said}"
    );
}
