//! The page on a tablet: fingers become a mouse, and nothing lies outside of the screen.

use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::device::Device;
use serde_json::json;

/// Taps, presses long, drags, turns the wheel with two fingers, and opens every panel upright and across.
pub(crate) fn works(device: &Device) {
    let browser = Browser::start(Look {
        width: 820,
        height: 1180,
        is_dark: false,
        scripts: true,
    });
    browser.open(&device.address("/"));
    browser.write("//input[@id='user']", "admin");
    browser.write("//input[@id='password']", "correct horse");
    browser.press("Sign in");
    browser.shows("USB connected");
    fingers(device, &browser);
    for (width, height) in [(820, 1180), (1180, 820)] {
        browser.resize(width, height);
        for panel in [
            "keyboard",
            "shortcuts",
            "paste",
            "power",
            "media",
            "picture",
            "people",
            "network",
            "device",
        ] {
            browser.click(&format!("//nav//button[@data-panel='{panel}']"));
            browser.shows("USB connected");
            let sizes = browser.script(
                "const done = arguments[arguments.length - 1];
                const root = document.documentElement;
                const small = [...document.querySelectorAll('nav button')].filter((one) => one.getBoundingClientRect().height < 40);
                setTimeout(() => done([root.scrollWidth, innerWidth, root.scrollHeight, innerHeight, small.length]), 300);",
            );
            let size = |at: usize| sizes[at].as_u64().unwrap();
            assert!(
                size(0) <= size(1) && size(2) <= size(3) && size(4) == 0,
                "{panel} at {width}×{height}: {sizes}"
            );
            browser.click("//aside//button[@aria-label='Close']");
        }
        super::device_page::keep(&browser, &format!("agent-tablet-{width}.png"));
    }
}

fn fingers(device: &Device, browser: &Browser) {
    device.record("absolute");
    let middle = browser.script(
        "const box = document.querySelector('.stage .picture').getBoundingClientRect();
        arguments[arguments.length - 1]([box.x + box.width / 2, box.y + box.height / 2]);",
    );
    let place = |at: usize, by: i64| {
        let middle = middle[at].as_f64().unwrap();
        json!(number(middle) + by)
    };
    let to = |x: i64, y: i64| json!({ "type": "pointerMove", "duration": 100, "x": place(0, x), "y": place(1, y) });
    let down = || json!({ "type": "pointerDown", "button": 0 });
    let up = || json!({ "type": "pointerUp", "button": 0 });
    let wait = |time: u32| json!({ "type": "pause", "duration": time });
    let said = |events: &[&str]| {
        device.await_shell("cat /run/absolute", |said| {
            events.iter().all(|event| said.contains(event))
        });
        let events = device.events("absolute");
        device.record("absolute");
        events
    };

    browser.fingers(&[vec![to(0, 0), down(), up()]]);
    let tap = said(&["BTN_LEFT), value 0"]);
    assert!(tap.contains(&"BTN_LEFT 1".to_owned()), "{tap:?}");
    let x = tap.iter().find_map(|event| event.strip_prefix("ABS_X "));
    let x: i64 = x.unwrap().trim().parse().unwrap();
    assert!((x - 16384).abs() < 400, "{tap:?}");

    browser.fingers(&[vec![to(10, 10), down(), wait(800), up()]]);
    let long = said(&["BTN_RIGHT), value 0"]);
    assert!(!long.contains(&"BTN_LEFT 1".to_owned()), "{long:?}");

    browser.fingers(&[vec![to(0, 0), down(), to(60, 0), to(120, 40), up()]]);
    let drag = said(&["BTN_LEFT), value 0"]);
    let at = |event: &str| drag.iter().position(|one| one == event).unwrap();
    let moves = drag.iter().filter(|one| one.starts_with("ABS_X")).count();
    assert!(at("BTN_LEFT 1") < at("BTN_LEFT 0") && moves > 1, "{drag:?}");

    // Fingers that go up push what is there up: further down comes into view.
    let finger = |x: i64| vec![to(x, 60), down(), to(x, 0), to(x, -60), up()];
    browser.fingers(&[finger(-40), finger(40)]);
    let turned = said(&["REL_WHEEL)"]);
    let is_down = |event: &&String| event.starts_with("REL_WHEEL -");
    assert!(turned.iter().any(|event| is_down(&event)), "{turned:?}");
    assert!(!turned.contains(&"BTN_RIGHT 1".to_owned()), "{turned:?}");
}

#[expect(clippy::cast_possible_truncation, reason = "a place on the screen")]
fn number(value: f64) -> i64 {
    value as i64
}
