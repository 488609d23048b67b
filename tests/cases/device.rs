//! The device at work: what a client outside does, the machine's own input devices report.

use std::path::Path;

use bakelite_tests::bakelite::{root, run, text};
use bakelite_tests::device::{Device, hear, say};
use serde_json::{Value, json};

fn boot(folder: &Path) -> Device {
    let output = run(&["build", "recipes/kvm-probe.toml"]);
    assert!(output.status.success(), "{}", text(&output));
    Device::boot(folder)
}

fn folder() -> tempfile::TempDir {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    tempfile::tempdir_in(root().join("target/tests")).unwrap()
}

#[test]
fn what_a_client_does_the_machine_sees() {
    let folder = folder();
    let device = boot(folder.path());
    device.claim();
    let healthy = device.shell("systemctl --failed --no-legend --plain; journalctl -b -u bakelite-helper | grep -c Scheduled");
    assert_eq!(
        healthy.trim(),
        "0",
        "no unit failed, none was started again"
    );
    let cookie = device.cookie("admin", "correct horse");
    typing(&device, &cookie);
    pointing(&device, &cookie);
    pasting(&device, &cookie);
    stalls(&device, &cookie);
}

/// Keys one by one, with modifiers, six and more at once, and the host's lights.
fn typing(device: &Device, cookie: &str) {
    device.record("keyboard");
    let mut live = device.socket("/api/v1/live", cookie);
    hear(&mut live, |message| {
        message["state"]["host"] == "configured"
    });
    for (code, down) in [
        ("KeyH", true),
        ("KeyH", false),
        ("ShiftLeft", true),
        ("IntlYen", true),
        ("IntlYen", false),
        ("ShiftLeft", false),
        ("F24", true),
        ("F24", false),
    ] {
        say(
            &mut live,
            &json!({ "type": "key", "code": code, "down": down }),
        );
    }
    let expected = [
        "KEY_H 1",
        "KEY_H 0",
        "KEY_LEFTSHIFT 1",
        "KEY_YEN 1",
        "KEY_YEN 0",
        "KEY_LEFTSHIFT 0",
        "KEY_F24 1",
        "KEY_F24 0",
    ];
    device.await_shell("cat /run/keyboard", |said| {
        said.contains("KEY_F24), value 0")
    });
    assert_eq!(device.events("keyboard"), expected);

    // The host's own light, set by the host, comes back to the viewer.
    device.shell("for l in /sys/class/leds/input*::capslock; do echo 1 >$l/brightness; done");
    hear(&mut live, |message| {
        message["state"]["leds"]["caps"] == true
    });
    device.shell("for l in /sys/class/leds/input*::capslock; do echo 0 >$l/brightness; done");
    hear(&mut live, |message| {
        message["state"]["leds"]["caps"] == false
    });

    // A page that vanishes with a key down leaves none down.
    say(
        &mut live,
        &json!({ "type": "key", "code": "KeyV", "down": true }),
    );
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_V), value 1"));
    drop(live);
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_V), value 0"));
    // So does one that stays connected and gives no sign of life.
    let mut live = device.socket("/api/v1/live", cookie);
    say(
        &mut live,
        &json!({ "type": "key", "code": "KeyW", "down": true }),
    );
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_W), value 0"));
}

/// Both mice.
fn pointing(device: &Device, cookie: &str) {
    let mut live = device.socket("/api/v1/live", cookie);
    device.record("absolute");
    device.record("relative");
    for message in [
        json!({ "type": "move-to", "x": 16384, "y": 8192 }),
        json!({ "type": "button", "button": 0, "down": true }),
        json!({ "type": "button", "button": 0, "down": false }),
        json!({ "type": "wheel", "steps": -2, "pan": 1 }),
        json!({ "type": "move-by", "x": 300, "y": -5 }),
        json!({ "type": "button", "button": 1, "down": true }),
        json!({ "type": "button", "button": 1, "down": false }),
    ] {
        say(&mut live, &message);
    }
    device.await_shell("cat /run/relative", |said| {
        said.contains("BTN_RIGHT), value 0")
    });
    let absolute = device.events("absolute");
    for expected in [
        "ABS_X 16384",
        "ABS_Y 8192",
        "BTN_LEFT 1",
        "BTN_LEFT 0",
        "REL_WHEEL -2",
        "REL_HWHEEL 1",
    ] {
        assert!(
            absolute.iter().any(|event| event == expected),
            "{expected} in {absolute:?}"
        );
    }
    let relative = device.events("relative");
    let sum = |axis: &str| -> i64 {
        let moves = relative.iter().filter_map(|event| event.strip_prefix(axis));
        moves
            .map(|steps| steps.trim().parse::<i64>().unwrap())
            .sum()
    };
    assert_eq!((sum("REL_X "), sum("REL_Y ")), (300, -5), "{relative:?}");
    assert!(
        relative.iter().any(|event| event == "BTN_RIGHT 1"),
        "{relative:?}"
    );
}

/// Text through a layout.
fn pasting(device: &Device, _cookie: &str) {
    let paste = |text: &str, dry: bool| {
        let paste = json!({ "text": text, "layout": "de", "dry-run": dry });
        device.ask("POST", "/api/v1/keyboard/paste", &paste).1
    };
    let dry = paste("zü→", true);
    assert_eq!(dry["cannot"][0]["character"], "→", "{dry}");
    assert_eq!(dry["started"], false);
    // The live socket of before is closed, so control is free for the request.
    device.shell(": >/run/keyboard");
    assert_eq!(paste("Zü@", false)["started"], true);
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_Q), value 0"));
    let events = device.events("keyboard");
    let expected = [
        "KEY_LEFTSHIFT 1",
        "KEY_Y 1",
        "KEY_LEFTSHIFT 0",
        "KEY_Y 0",
        "KEY_LEFTBRACE 1",
        "KEY_LEFTBRACE 0",
        "KEY_RIGHTALT 1",
        "KEY_Q 1",
        "KEY_RIGHTALT 0",
        "KEY_Q 0",
    ];
    assert_eq!(events, expected);
}

/// The host goes away with a key down, comes back, and finds the key up; so it does when the daemon
/// is ended.
fn stalls(device: &Device, cookie: &str) {
    let mut live = device.socket("/api/v1/live", cookie);
    hear(&mut live, |message| {
        message["state"]["host"] == "configured"
    });
    let key = |code: &str, down: bool| json!({ "type": "key", "code": code, "down": down });
    say(&mut live, &key("KeyB", true));
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_B), value 1"));
    // The host unbinds the whole device, as a reset would.
    let usb = device.shell("for d in /sys/bus/usb/devices/*/product; do grep -q Keyboard $d && basename $(dirname $d); done");
    let usb = usb.trim();
    device.shell(&format!("echo {usb} >/sys/bus/usb/drivers/usb/unbind"));
    say(&mut live, &key("KeyB", false));
    device.shell(&format!("echo {usb} >/sys/bus/usb/drivers/usb/bind"));
    hear(&mut live, |message| {
        message["state"]["host"] == "configured"
    });
    device.record("keyboard");
    say(&mut live, &key("KeyC", true));
    say(&mut live, &key("KeyC", false));
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_C), value 0"));
    assert_eq!(device.events("keyboard"), ["KEY_C 1", "KEY_C 0"], "B is up");

    say(&mut live, &key("KeyD", true));
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_D), value 1"));
    device.shell("systemctl kill --signal=KILL bakelite-agent");
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_D), value 0"));
    let state: Value = device.get("/api/v1/gadget").1;
    assert_eq!(state["host"], "configured", "sessions outlive the daemon");
}
