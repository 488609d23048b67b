//! The device's page in a browser: claimed, used, and ended from elsewhere.

use std::path::Path;
use std::time::{Duration, Instant};

use bakelite_tests::bakelite::root;
use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::device::{Device, OTHER};
use serde_json::Value;

/// Keeps a picture for the documents where `BAKELITE_PICTURES` names a folder.
#[expect(clippy::disallowed_methods, reason = "tests read the environment")]
pub(crate) fn keep(browser: &Browser, name: &str) {
    if let Ok(folder) = std::env::var("BAKELITE_PICTURES") {
        fs_err::write(Path::new(&folder).join(name), browser.picture()).unwrap();
    }
}

#[test]
fn an_owner_claims_the_device_and_controls_the_machine() {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let device = Device::build_and_boot(folder.path());
    let browser = Browser::start(Look {
        width: 1280,
        height: 800,
        is_dark: false,
        scripts: true,
    });
    browser.open(&device.address("/"));
    browser.shows("This device is new");
    keep(&browser, "agent-claim.png");
    browser.write("//input[@id='code']", "AAAA-AAAA-AAAA");
    browser.write("//input[@id='password']", "correct horse");
    browser.press("Make it mine");
    browser.shows("name, password or code is wrong");
    let code = device.shell("cat /var/lib/bakelite-agent/claim-code");
    browser.write("//input[@id='code']", code.trim());
    browser.press("Make it mine");
    browser.shows("USB connected");
    moves(&browser, "VIDEO");
    browser.shows("1280 × 720");
    keep(&browser, "agent-console.png");

    types(&device, &browser);
    panels(&device, &browser, folder.path());
    transports(&device, &browser);

    // A second stream of the same session, of which the page knows nothing.
    let received = rogue(&browser);
    assert!(received() > 0);

    // Ended from elsewhere: the page says so within a moment, and its streams end.
    let cookie = device.cookie("admin", "correct horse");
    let ask = |method: &str, path: &str| {
        let request = device.anybody(method, path).header("cookie", &cookie);
        request.send().unwrap().json::<Value>().unwrap()
    };
    let sessions = ask("GET", "/api/v1/sessions");
    let page = sessions
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["own"] == false);
    let id = page.unwrap()["id"].as_str().unwrap();
    ask("DELETE", &format!("/api/v1/sessions/{id}"));
    let ended = Instant::now();
    browser.shows("Your session was ended.");
    assert!(
        ended.elapsed() < Duration::from_secs(20),
        "{:?}",
        ended.elapsed()
    );
    keep(&browser, "agent-sign-in.png");
    let mut before = received();
    loop {
        // What was on its way arrives; then nothing does, though pictures are drawn all the time.
        std::thread::sleep(Duration::from_secs(1));
        let now = received();
        if now == before {
            break;
        }
        assert!(ended.elapsed() < Duration::from_mins(1), "it goes on");
        before = now;
    }
    assert_eq!(
        ask("GET", "/api/v1/video")["streams"],
        serde_json::json!([])
    );
    browser.write("//input[@id='user']", "admin");
    browser.write("//input[@id='password']", "correct horse");
    browser.press("Sign in");
    browser.shows("USB connected");
    super::device_tablet::works(&device);
    address(&device, &browser);
}

/// Has the browser receive pictures by WebRTC beside the page. Returns a look at how many bytes came.
fn rogue(browser: &Browser) -> impl Fn() -> u64 {
    let begun = browser.script(
        "const done = arguments[arguments.length - 1];
        (async () => {
          const peer = window.rogue = new RTCPeerConnection();
          peer.addTransceiver('video', { direction: 'recvonly' });
          await peer.setLocalDescription(await peer.createOffer());
          const headers = { 'content-type': 'application/json' };
          const body = JSON.stringify({ sdp: peer.localDescription.sdp });
          const answer = await fetch('/api/v1/video/webrtc', { method: 'POST', headers, body });
          await peer.setRemoteDescription({ type: 'answer', sdp: (await answer.json()).sdp });
          const look = () => window.received().then((bytes) => bytes ? done(bytes) : setTimeout(look, 200));
          window.received = async () => {
            const stats = [...(await peer.getStats()).values()];
            return stats.find((one) => one.type === 'inbound-rtp')?.bytesReceived ?? 0;
          };
          look();
        })().catch((error) => done(String(error)));",
    );
    assert!(begun.is_u64(), "{begun}");
    || {
        let bytes = browser.script("window.received().then(arguments[arguments.length - 1]);");
        bytes.as_u64().unwrap()
    }
}

/// The page leads to the new address, which keeps it.
fn address(device: &Device, browser: &Browser) {
    browser.click("//nav//button[@data-panel='network']");
    browser.shows("Given");
    browser.click("//summary[text()='Change the address']");
    browser.script(
        "const select = document.querySelector('select[id$=-method]');
        select.value = 'manual';
        select.dispatchEvent(new Event('change'));
        arguments[arguments.length - 1](true);",
    );
    browser.write("//input[contains(@id, '-address')]", OTHER);
    browser.press("Try it");
    browser.shows("One more step");
    browser.shows("It goes back by itself");
    keep(browser, "agent-new-address.png");
    let link = browser
        .script("arguments[arguments.length - 1](document.querySelector('#new-address').href);");
    let link = link.as_str().unwrap();
    let token = link.split("#keep=").nth(1).unwrap();
    assert!(link.starts_with(&format!("https://{OTHER}:")), "{link}");
    // That address is behind a forwarded port here.
    let other = device.other;
    let until = Instant::now() + Duration::from_mins(1);
    while !device.answers(other) {
        assert!(Instant::now() < until, "{}", device.console());
        std::thread::sleep(Duration::from_millis(300));
    }
    browser.open(&format!("https://127.0.0.1:{other}/#keep={token}"));
    browser.shows("This address works");
    browser.press("Go on");
    browser.shows("USB connected");
    browser.click("//nav//button[@data-panel='network']");
    browser.shows("The last change was kept.");
    browser.shows("by hand");
}

/// Every way of the picture works, and the device knows how long it takes.
fn transports(device: &Device, browser: &Browser) {
    let cookie = device.cookie("admin", "correct horse");
    let streams = || {
        let request = device.anybody("GET", "/api/v1/video");
        let answer = request.header("cookie", &cookie).send().unwrap();
        answer.json::<Value>().unwrap()["streams"].clone()
    };
    for (name, element) in [
        ("websocket", "CANVAS"),
        ("mjpeg", "IMG"),
        ("webrtc", "VIDEO"),
    ] {
        browser.script(&format!(
            "const done = arguments[arguments.length - 1];
             document.querySelector('[data-panel=picture]').click();
             const choose = () => {{
               const way = document.querySelector('#way');
               if (!way) {{ setTimeout(choose, 100); return; }}
               way.value = '{name}';
               way.dispatchEvent(new Event('change'));
               document.querySelector('[data-panel=picture]').click();
               done(true);
             }};
             choose();"
        ));
        moves(browser, element);
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let streams = streams();
            let one = streams.as_array().unwrap().iter();
            let mut of_page = one.filter(|stream| stream["transport"] == name);
            let is_told = |stream: &Value| {
                name == "mjpeg"
                    || stream["shown"]["p50"]
                        .as_u64()
                        .is_some_and(|micros| micros > 0)
            };
            if of_page.any(is_told) {
                break;
            }
            assert!(Instant::now() < until, "{name}: {streams}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// The picture on the page is in such an element and changes: its pixels are read until they differ.
fn moves(browser: &Browser, element: &str) {
    let read = "const done = arguments[arguments.length - 1];
        const image = document.querySelector('.stage .picture');
        const width = image?.naturalWidth || image?.videoWidth || image?.width;
        const height = image?.naturalHeight || image?.videoHeight || image?.height;
        if (!width || !height) { done([image?.tagName, null]); return; }
        const canvas = document.createElement('canvas');
        canvas.width = width; canvas.height = height;
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        let sum = 0;
        for (let at = 0; at < pixels.length; at += 4) sum = (sum * 31 + pixels[at]) % 1000000007;
        done([image.tagName, sum]);";
    let mut seen = Vec::new();
    let until = Instant::now() + Duration::from_mins(1);
    while seen.len() < 3 {
        let found = browser.script(read);
        let (tag, sum) = (&found[0], found[1].clone());
        if tag == element && sum.is_u64() && !seen.contains(&sum) {
            seen.push(sum);
        }
        assert!(
            Instant::now() < until,
            "the picture in {element} does not change: {found} {seen:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A sentence typed on the page arrives at the machine; so does a click where it was made.
fn types(device: &Device, browser: &Browser) {
    device.record("keyboard");
    device.record("absolute");
    browser.click("//div[@class='stage']");
    browser.keys("hello world\u{E006}");
    let said = device.await_shell("cat /run/keyboard", |said| {
        said.contains("KEY_ENTER), value 0")
    });
    drop(said);
    let pressed: Vec<String> = device
        .events("keyboard")
        .iter()
        .filter_map(|event| Some(event.strip_prefix("KEY_")?.strip_suffix(" 1")?.to_owned()))
        .collect();
    let expected = [
        "H", "E", "L", "L", "O", "SPACE", "W", "O", "R", "L", "D", "ENTER",
    ];
    assert_eq!(pressed, expected);
    // WebDriver clicks in the middle of the element.
    let events = device.events("absolute");
    let place = |axis: &str| -> i64 {
        let found = events
            .iter()
            .rev()
            .find_map(|event| event.strip_prefix(axis));
        found
            .unwrap_or_else(|| panic!("no {axis} in {events:?}"))
            .trim()
            .parse()
            .unwrap()
    };
    for axis in ["ABS_X ", "ABS_Y "] {
        assert!((place(axis) - 16384).abs() < 600, "{axis}: {events:?}");
    }
    assert!(
        events.iter().any(|event| event == "BTN_LEFT 1"),
        "{events:?}"
    );
}

/// Every panel opens; pasted text arrives; an image is uploaded and inserted.
fn panels(device: &Device, browser: &Browser, folder: &Path) {
    let open = |name: &str| browser.click(&format!("//nav//button[@data-panel='{name}']"));
    open("paste");
    browser.shows("Layout that the machine is set to");
    browser.write("//textarea", "Grüße 漢");
    browser.press("Check first");
    browser.shows("“漢” cannot be typed");
    keep(browser, "agent-paste.png");
    browser.write("//textarea", "ok");
    device.shell(": >/run/keyboard");
    browser.press("Type it");
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_K), value 0"));

    open("keyboard");
    browser.shows("Labels as on the machine's layout");
    keep(browser, "agent-keyboard.png");
    device.shell(": >/run/keyboard");
    browser.click("//button[@data-code='KeyQ']");
    device.await_shell("cat /run/keyboard", |said| said.contains("KEY_Q), value 0"));

    open("media");
    browser.shows("No images yet");
    let image = folder.join("rescue.iso");
    fs_err::write(&image, vec![7; 3 << 20]).unwrap();
    browser.choose("//input[@id='image-file']", &image);
    browser.press("Upload");
    browser.shows("Uploaded and hashed");
    browser.press("Insert");
    browser.shows("is in the CD drive");
    keep(browser, "agent-media.png");
    let size = (3 << 20).to_string();
    device.await_shell("blockdev --getsize64 /dev/sr0", |said| said.trim() == size);
    browser.press("Eject");
    browser.shows("The drive is empty");

    open("shortcuts");
    browser.shows("Ctrl + Alt + Del");
    keep(browser, "agent-shortcuts.png");
    open("picture");
    browser.shows("What the machine is told of its screen");
    keep(browser, "agent-picture.png");
    open("power");
    browser.shows("Nothing is wired to the machine's buttons");
    keep(browser, "agent-power.png");
    open("network");
    browser.shows("Given");
    browser.click("//summary[text()='Change the address']");
    keep(browser, "agent-network.png");
    open("people");
    browser.shows("What was done");
    keep(browser, "agent-people.png");
    open("device");
    browser.shows("What the machine sees");
    browser.press("Show the log");
    browser.shows("systemd[1]: ");
    keep(browser, "agent-device.png");
    open("device");
}
