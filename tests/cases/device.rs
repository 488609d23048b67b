//! The device at work: what a client outside does, the machine's own input devices report.

use std::path::Path;

use bakelite_tests::bakelite::{root, tool};
use bakelite_tests::device::{Device, Live, hear, say};
use serde_json::{Value, json};
use tungstenite::Message;

fn folder() -> tempfile::TempDir {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    tempfile::tempdir_in(root().join("target/tests")).unwrap()
}

#[test]
fn what_a_client_does_the_machine_sees() {
    let folder = folder();
    let device = Device::build_and_boot(folder.path());
    let on_boot_partition = "cat /boot/firmware/claim-code.txt";
    device.await_shell(on_boot_partition, |said| said.contains('-'));
    device.claim();
    device.await_shell(on_boot_partition, |said| said.contains("No such file"));
    let healthy = device.shell("systemctl --failed --no-legend --plain; journalctl -b -u bakelite-helper | grep -c Scheduled");
    assert_eq!(
        healthy.trim(),
        "0",
        "no unit failed, none was started again"
    );
    let announced = "journalctl -b -u avahi-daemon";
    device.await_shell(announced, |said| said.contains("successfully established"));
    let cookie = device.cookie("admin", "correct horse");
    typing(&device, &cookie);
    pointing(&device, &cookie);
    pasting(&device, &cookie);
    stalls(&device, &cookie);
    pictures(&device, &cookie);
    revocation(&device);
    media(&device, &cookie);
    clients(&device, folder.path());
    front_panel(&device);
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
        json!({ "type": "button", "button": 2, "down": true }),
        json!({ "type": "button", "button": 2, "down": false }),
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
    // Numbered as browsers do: left, middle, right.
    let place = |button: &str| relative.iter().position(|event| event == button);
    assert!(
        place("BTN_MIDDLE 1").is_some() && place("BTN_MIDDLE 1") < place("BTN_RIGHT 1"),
        "{relative:?}"
    );
}

/// Text through a layout.
fn pasting(device: &Device, _cookie: &str) {
    let paste = |text: &str, dry: bool| {
        let paste = json!({ "text": text, "layout": "de", "dry-run": dry });
        device.ask("POST", "/api/v1/keyboard/paste", &paste).1
    };
    let dry = paste("zü漢", true);
    assert_eq!(dry["cannot"][0]["character"], "漢", "{dry}");
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
    // The paste came from another session, which still controls: an administrator takes over.
    say(&mut live, &key("KeyB", true));
    hear(&mut live, |message| message["error"] == "busy");
    say(&mut live, &json!({ "type": "seize-control" }));
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
    // It tells the service manager when it is ready.
    device.await_shell("systemctl is-active bakelite-agent", |said| {
        said.trim() == "active"
    });
    let state: Value = device.get("/api/v1/gadget").1;
    assert_eq!(state["host"], "configured", "sessions outlive the daemon");
}

/// Pictures that change with what the source draws, honest states when it draws nothing, and a new
/// picture when the signal comes back in another size.
fn pictures(device: &Device, cookie: &str) {
    let snapshot = || {
        let answer = device
            .request("GET", "/api/v1/video/snapshot.jpg")
            .send()
            .unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().unwrap());
        decode(&answer.bytes().unwrap())
    };
    let control = |name: &str, value: u32| {
        let said = device.shell(&format!("v4l2-ctl -d /dev/video0 -c {name}={value}"));
        assert_eq!(said, "", "{name}={value}");
    };
    // The patterns of vivid by number: 5 is black, 4 is 100 % white… as its menu names them.
    let menu = device.shell("v4l2-ctl -d /dev/video0 -L");
    let pattern = |name: &str| -> u32 {
        let line = menu
            .lines()
            .find(|line| line.trim_end().ends_with(&format!(": {name}")));
        let line = line.unwrap_or_else(|| panic!("no pattern {name} in:\n{menu}"));
        line.trim().split(':').next().unwrap().parse().unwrap()
    };
    for (name, expected) in [("100% Red", [254u8, 0, 0]), ("100% Blue", [0, 0, 254])] {
        control("test_pattern", pattern(name));
        // Range and matrix of the source are not converted: the colour is right, its depth is not.
        let is_it = |corner: &[u8]| {
            let mut channels = corner.iter().zip(expected);
            channels.all(|(a, b)| (*a > 180) == (b > 180) && (*a < 60) == (b < 60))
        };
        // A frame that was being drawn may still have the pattern of before.
        let found = (0..5).any(|_| {
            let (width, height, pixels) = snapshot();
            assert_eq!((width, height), (1280, 720));
            // A corner, where vivid writes no text.
            is_it(&pixels[pixels.len() - 3..])
        });
        assert!(found, "{name} is not on the picture");
    }

    // The stream: whole pictures that differ, because the source counts them.
    let mut answer = device.request("GET", "/stream").send().unwrap();
    let parts = read_parts(&mut answer, 5);
    assert!(parts.windows(2).all(|pair| pair[0] != pair[1]));
    for part in &parts {
        assert_eq!((decode(part).0, decode(part).1), (1280, 720));
    }

    h264(device, cookie);

    let mut live = device.socket("/api/v1/live", cookie);
    hear(&mut live, |message| {
        message["state"]["video"]["state"] == "live"
    });
    for (mode, state) in [(1, "no-cable"), (2, "no-lock"), (3, "unsupported")] {
        control("dv_timings_signal_mode", mode);
        let heard = hear(&mut live, |message| {
            message["state"]["video"]["state"] == state
        });
        assert!(heard["state"]["video-sentence"].as_str().unwrap().len() > 10);
        control("dv_timings_signal_mode", 0);
        hear(&mut live, |message| {
            message["state"]["video"]["state"] == "live"
        });
    }
    // Without a picture there is none, and the answer says why.
    control("dv_timings_signal_mode", 1);
    hear(&mut live, |message| {
        message["state"]["video"]["state"] == "no-cable"
    });
    let (status, answer_) = device.get("/api/v1/video/snapshot.jpg");
    assert_eq!(
        (status, &answer_["error"]),
        (409, &json!("conflict")),
        "{answer_}"
    );
    control("dv_timings", pattern("1920x1080p60"));
    control("dv_timings_signal_mode", 4);
    hear(&mut live, |message| {
        message["state"]["video"]["width"] == 1920
    });
    drop(answer);
    let facts = device.get("/api/v1/video").1;
    assert!(facts["encoding"]["p95"].as_u64().unwrap() > 0, "{facts}");

    let edid = json!({ "preset": "720p50" });
    assert_eq!(device.ask("PUT", "/api/v1/video/edid", &edid).0, 200);
    let edid = device.get("/api/v1/video/edid").1;
    assert_eq!(edid["preferred"], "1280x720 at 50.00 Hz");
    // The device's own kernel finds nothing wrong with it.
    let judged = device.shell("v4l2-ctl -d /dev/video0 --get-edid=pad=0,format=raw,file=/run/edid; edid-decode --check /run/edid");
    assert!(judged.contains("EDID conformity: PASS"), "{judged}");
}

/// H.264 arrives over both sockets: first the format, then a key frame with its parameter sets.
/// (That it can be decoded is judged by a browser in `device_page`.)
fn h264(device: &Device, cookie: &str) {
    let is_key = |unit: &[u8]| unit.starts_with(&[0, 0, 0, 1, 0x67]);
    let mut socket = device.socket("/api/v1/video/h264", cookie);
    let format = hear(&mut socket, |message| message["type"] == "format");
    assert_eq!(
        (&format["width"], &format["height"]),
        (&json!(1280), &json!(720))
    );
    assert!(
        format["codec"].as_str().unwrap().starts_with("avc1.42"),
        "{format}"
    );
    let units: Vec<Vec<u8>> = (0..3).map(|_| binary(&mut socket)).collect();
    assert_eq!(units[0][0], 1);
    assert!(is_key(&units[0][5..]));
    let time = |unit: &[u8]| u32::from_be_bytes(unit[1..5].try_into().unwrap());
    assert!(time(&units[0]) < time(&units[2]), "the clock does not run");

    let mut socket = device.socket("/api/media/ws", cookie);
    hear(&mut socket, |message| message["event_type"] == "media");
    let start = json!({ "event_type": "start", "event": { "type": "video", "format": "h264" } });
    say(&mut socket, &start);
    let unit = binary(&mut socket);
    assert!(unit[..2] == [1, 1] && is_key(&unit[2..]));
    let mut socket = device.socket("/api/media/ws?video=h264", cookie);
    assert!(is_key(&binary(&mut socket)));
}

/// All that streams for a session ends with it.
fn revocation(device: &Device) {
    let cookie = device.cookie("admin", "correct horse");
    let mut live = device.socket("/api/v1/live", &cookie);
    let mut socket = device.socket("/api/v1/video/h264", &cookie);
    let stream = device.anybody("GET", "/stream").header("cookie", &cookie);
    let mut stream = stream.send().unwrap();
    read_parts(&mut stream, 1);
    binary(&mut socket);
    let own = device
        .anybody("GET", "/api/v1/sessions")
        .header("cookie", &cookie);
    let sessions: Value = own.send().unwrap().json().unwrap();
    let own = sessions
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["own"] == true);
    let id = own.unwrap()["id"].as_str().unwrap();
    let revoked = device
        .request("DELETE", &format!("/api/v1/sessions/{id}"))
        .send();
    assert_eq!(revoked.unwrap().status(), 200);
    while live.read().is_ok_and(|message| !message.is_close()) {}
    while socket.read().is_ok_and(|message| !message.is_close()) {}
    // It ends, with an error or without.
    let _outcome = std::io::copy(&mut stream, &mut std::io::sink());
}

fn binary(socket: &mut Live) -> Vec<u8> {
    loop {
        match socket.read().unwrap() {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// Returns width, height and pixels of a JPEG.
fn decode(jpeg: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut decoder = zune_jpeg::JpegDecoder::new(std::io::Cursor::new(jpeg));
    let pixels = decoder.decode().unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    (width, height, pixels)
}

/// Reads so many pictures of a stream.
fn read_parts(stream: &mut impl std::io::Read, count: usize) -> Vec<Vec<u8>> {
    let mut stream = std::io::BufReader::new(stream);
    let mut parts = Vec::new();
    let (mut line, mut length) = (String::new(), 0);
    while parts.len() < count {
        line.clear();
        std::io::BufRead::read_line(&mut stream, &mut line).unwrap();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" && length > 0 {
            let mut part = vec![0; length];
            std::io::Read::read_exact(&mut stream, &mut part).unwrap();
            parts.push(part);
            length = 0;
        }
    }
    parts
}

/// An image comes over in two parts, the machine reads the same bytes, and loses it while it uses it.
fn media(device: &Device, cookie: &str) {
    let image: Vec<u8> = (0..3_072_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let sum = content_digest::Sha256Digest::of(&image).to_string();
    let put = |name: &str, from: usize, to: usize| {
        let range = format!("bytes {from}-{}/{}", to - 1, image.len());
        let path = format!("/api/v1/media/{name}?sha256={sum}");
        let request = device.request("PUT", &path).header("content-range", range);
        let answer = request.body(image[from..to].to_vec()).send().unwrap();
        (answer.status().as_u16(), answer.json::<Value>().unwrap())
    };
    assert_eq!(put("disk.img", 0, 5_000_000).1["received"], 5_000_000);
    assert_eq!(put("disk.img", 6_000_000, 7_000_000).0, 409, "a gap");
    let (status, whole) = put("disk.img", 5_000_000, image.len());
    assert_eq!(
        (status, whole["sha256"].as_str()),
        (200, Some(sum.as_str())),
        "{whole}"
    );

    let mut live = device.socket("/api/v1/live", cookie);
    let insert = |drive: &str| {
        let insert = json!({ "image": "disk.img", "drive": drive });
        let (status, answer) = device.ask("PUT", "/api/v1/drive", &insert);
        assert_eq!(status, 200, "{answer}");
    };
    insert("disk");
    hear(&mut live, |message| {
        message["state"]["drive"]["image"] == "disk.img"
    });
    let read = |node: &str| format!("head -c {} {node} 2>/dev/null | sha256sum", image.len());
    device.await_shell(&read("/dev/sda"), |said| said.starts_with(&sum));
    let said = device.shell("echo x >/dev/sda");
    assert!(
        said.contains("Read-only") || said.contains("not permitted"),
        "{said}"
    );
    // In use, and locked by the machine's own driver.
    device.shell("systemd-run -q -G --unit=hold sh -c 'exec sleep 1000 </dev/sda'");
    let (status, answer) = device.ask("DELETE", "/api/v1/media/disk.img", &Value::Null);
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = device.ask("DELETE", "/api/v1/drive", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    hear(&mut live, |message| {
        message["type"] == "state" && message["state"]["drive"].is_null()
    });
    device.shell("systemctl stop hold");
    insert("cd");
    device.await_shell(&read("/dev/sr0"), |said| said.starts_with(&sum));
    hear(&mut live, |message| {
        message["state"]["drive"]["drive"] == "cd"
    });
    // The machine ejects it itself.
    device.shell("eject /dev/sr0");
    hear(&mut live, |message| {
        message["type"] == "state" && message["state"]["drive"].is_null()
    });
    let (status, answer) = device.ask("DELETE", "/api/v1/media/disk.img", &Value::Null);
    assert_eq!(status, 200, "{answer}");
}

/// Published clients of `PiKVM`, unmodified: they type, look, and insert media.
fn clients(device: &Device, folder: &Path) {
    let made = json!({ "name": "clients", "role": "operator", "days": 1 });
    let token = device.ask("POST", "/api/v1/tokens", &made).1;
    let token = token["secret"].as_str().unwrap();
    let image = folder.join("client.iso");
    fs_err::write(&image, vec![9; 1 << 20]).unwrap();
    device.record("keyboard");
    device.record("absolute");
    let run = |client: &str| -> String {
        let (host, script) = (
            format!("127.0.0.1:{}", device.port),
            root().join("tests/judge-pikvm.py"),
        );
        let python = bakelite_tests::store::python().join("bin/python");
        let (good, text) = tool(
            python.to_str().unwrap(),
            &[
                script.to_str().unwrap(),
                &host,
                "admin",
                token,
                image.to_str().unwrap(),
                client,
            ],
        );
        assert!(good, "{client}:\n{text}");
        text
    };
    let expect = |said: &str, facts: &[&str]| {
        for fact in facts {
            assert!(said.lines().any(|line| line == *fact), "{fact} in:\n{said}");
        }
    };
    let pressed = || -> Vec<String> {
        let events = device.events("keyboard").into_iter();
        events
            .filter_map(|event| Some(event.strip_prefix("KEY_")?.strip_suffix(" 1")?.to_owned()))
            .collect()
    };
    expect(
        &run("pikvm-lib"),
        &[
            "authenticated=true",
            "atx=false",
            "picture=[1920, 1080]",
            "streamer=true",
            "drive=[\"client.iso\", true, true]",
            "connected=false",
            "images=[]",
        ],
    );
    assert_eq!(
        pressed(),
        ["A", "B", "LEFTSHIFT", "C", "LEFTCTRL", "LEFTSHIFT", "F12"]
    );
    assert!(device.events("absolute").contains(&"BTN_LEFT 1".to_owned()));
    device.record("keyboard");
    expect(
        &run("kvm-pilot"),
        &[
            "authenticated=true",
            "metrics=true",
            "signal=true",
            "snapshot=\"ffd8ff\"",
            "online=true",
            "mounted=true",
            "wrong=false",
        ],
    );
    assert_eq!(
        pressed(),
        [
            "X",
            "LEFTSHIFT",
            "Y",
            "LEFTSHIFT",
            "1",
            "F9",
            "LEFTCTRL",
            "F10"
        ]
    );
    assert!(
        device
            .events("absolute")
            .contains(&"ABS_X 32767".to_owned())
    );
    expect(&run("pikvm-cli"), &["info=true", "atx=false"]);
}

/// Buttons are lines of the machine's own GPIO controller; its kernel says how they are driven.
fn front_panel(device: &Device) {
    let config = "[atx]\npower-button = { line = \"gpiochip0:5\" }\nreset-button = { line = \"gpiochip0:6\", active-low = true }\npower-light = { line = \"gpiochip0:7\", active-low = true }
[gpio.lamp]\nline = \"gpiochip0:4\"\ndirection = \"output\"\nlabel = \"Lamp\"
[gpio.door]\nline = \"gpiochip0:2\"\ndirection = \"input\"\nactive-low = true";
    device.shell(&format!(
        "mkdir -p /etc/bakelite; echo '{config}' >/etc/bakelite/agent.toml; systemctl restart bakelite-agent"
    ));
    let lines = |five: &str, six: &str| {
        device.await_shell("cat /sys/kernel/debug/gpio", |said| {
            let is = |line: &str, level: &str| {
                let mut held = said.lines().filter(|one| one.contains(line));
                held.any(|one| one.contains("bakelite-agent") && one.contains(level))
            };
            is("gpio-517", five) && is("gpio-518", six)
        })
    };
    lines("out lo", "out hi");
    let cookie = device.cookie("admin", "correct horse");
    let ask = |method: &str, path: &str| {
        let request = device.anybody(method, path).header("cookie", &cookie);
        let answer = request.send().unwrap();
        (answer.status().as_u16(), answer.json::<Value>().unwrap())
    };
    let power = ask("GET", "/api/v1/power").1;
    assert_eq!(power["buttons"], json!(["power", "reset"]), "{power}");
    // Nothing pulls the line of the light up, and low is on.
    assert_eq!(power["power"], true, "{power}");
    let long = ask("POST", "/api/atx/click?button=power_long&wait=0");
    assert_eq!(long.0, 200, "{}", long.1);
    lines("out hi", "out hi");
    let (status, busy) = ask("POST", "/api/atx/click?button=reset");
    assert_eq!(status, 409, "{busy}");
    lines("out lo", "out hi");
    let atx = ask("GET", "/api/atx").1;
    assert_eq!(atx["result"]["leds"]["power"], true, "{atx}");
    assert_eq!(ask("POST", "/api/atx/power?action=reset_hard").0, 200);
    named_lines(device, &cookie);
}

/// A lamp and a door, by this API and as clients of the `PiKVM` kind do it.
fn named_lines(device: &Device, cookie: &str) {
    let ask = |method: &str, path: &str, body: Value| {
        let request = device.anybody(method, path).header("cookie", cookie);
        let answer = request.json(&body).send().unwrap();
        (answer.status().as_u16(), answer.json::<Value>().unwrap())
    };
    let lamp = |level: &str| {
        device.await_shell("cat /sys/kernel/debug/gpio", |said| {
            let mut lines = said.lines().filter(|line| line.contains("gpio-516"));
            lines.any(|line| line.contains(level))
        })
    };
    let (status, lines) = ask("GET", "/api/v1/gpio", Value::Null);
    assert_eq!((status, &lines[0]["is-on"]), (200, &json!(true)), "{lines}");
    assert_eq!(
        (&lines[1]["label"], &lines[1]["is-on"]),
        (&json!("Lamp"), &json!(false))
    );
    let on = json!({ "is-on": true });
    assert_eq!(ask("PUT", "/api/v1/gpio/lamp", on.clone()).0, 200);
    lamp("out hi");
    assert_eq!(ask("PUT", "/api/v1/gpio/door", on).0, 400);
    let known = ask("GET", "/api/gpio", Value::Null).1;
    assert_eq!(
        known["result"]["state"]["outputs"]["lamp"]["state"], true,
        "{known}"
    );
    let off = "/api/gpio/switch?channel=lamp&state=0";
    assert_eq!(ask("POST", off, Value::Null).0, 200);
    lamp("out lo");
    let pulse = "/api/gpio/pulse?channel=lamp&delay=3";
    assert_eq!(ask("POST", pulse, Value::Null).0, 200);
    lamp("out hi");
    lamp("out lo");
}
