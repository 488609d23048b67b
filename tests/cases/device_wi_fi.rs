//! The device joins Wi-Fi networks: the kernel's simulated radios, with access points in a network
//! namespace of their own.

use std::time::{Duration, Instant};

use bakelite_tests::bakelite::root;
use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::device::{ACCESS_POINTS, Device};
use serde_json::{Value, json};

#[test]
fn the_device_joins_a_network_and_comes_back_from_one_that_nobody_keeps() {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let device = &mut Device::build_and_boot(folder.path());
    device.claim();
    let said = device.shell(ACCESS_POINTS);
    assert!(said.contains("on the air"), "{said}");
    let found = search(device);
    let find = |name: &str| found.iter().find(|one| one["name"] == name);
    let workshop = find("Workshop").unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(workshop["security"], "password");
    assert_eq!(workshop["is-known"], false);
    assert_eq!(find("Guests").unwrap()["security"], "open");

    // What cannot be is told at once, what turns out to be wrong a little later.
    let (status, answer) = join(device, "Workshop", "short", 60);
    assert_eq!(status, 400, "{answer}");
    assert!(!answer.to_string().contains("\"short\""), "{answer}");
    assert_eq!(join(device, "Workshop", "lathe and drill", 120).0, 200);
    let outcome = ended(device);
    assert!(outcome.contains("password may be wrong"), "{outcome}");
    assert_eq!(wi_fi(&state(device)), &Value::Null);

    // Kept from the cable, which stays: from then on it is on disk, for root alone.
    let (status, answer) = join(device, "Workshop", "drill and lathe", 300);
    assert_eq!(status, 200, "{answer}");
    await_state(device, |state| state["pending"]["interface"] == "wlan0");
    let pending = state(device);
    assert!(!pending.to_string().contains("lathe"), "{pending}");
    assert_eq!(saved(device), "", "on disk before it is kept");
    let token = json!({ "token": answer["token"] });
    assert_eq!(device.ask("POST", "/api/v1/network/keep", &token).0, 200);
    assert_eq!(saved(device), "600 root Workshop.nmconnection");
    assert_eq!(over_the_air(device), "ok");

    // Another network that nobody keeps: it goes back to the one before.
    let open = json!({ "plan": { "method": "wi-fi", "name": "Guests" }, "seconds": 45 });
    assert_eq!(device.ask("PUT", "/api/v1/network/wlan0", &open).0, 200);
    await_state(device, |state| wi_fi(state) == "Guests");
    await_state(device, |state| wi_fi(state) == "Workshop");
    await_state(device, |state| state["pending"] == Value::Null);
    assert_eq!(saved(device), "600 root Workshop.nmconnection");
    assert_eq!(over_the_air(device), "ok");

    // Forgotten: the password is gone with it.
    let path = "/api/v1/network/wlan0/wi-fi/Workshop";
    assert_eq!(device.ask("DELETE", path, &Value::Null).0, 200);
    await_state(device, |state| wi_fi(state) == &Value::Null);
    assert_eq!(saved(device), "");
    let told = device.shell("journalctl --no-pager | grep -c 'drill and lathe'; grep -c lathe /var/lib/bakelite-agent/audit.jsonl");
    assert_eq!(told.trim(), "0\n0", "the password was written down");
    on_the_page(device);

    let off = device.ask("POST", "/api/v1/device/power-off", &Value::Null);
    assert_eq!(off.0, 200, "{}", off.1);
    device.await_end();
}

/// The page shows what is in reach, joins it, and keeps it, as it still reaches the device by the cable.
fn on_the_page(device: &Device) {
    let browser = Browser::start(Look {
        width: 1280,
        height: 900,
        is_dark: false,
        scripts: true,
    });
    browser.open(&device.address("/"));
    browser.write("//input[@id='user']", "admin");
    browser.write("//input[@id='password']", "correct horse");
    browser.press("Sign in");
    browser.shows("USB connected");
    browser.click("//nav//button[@data-panel='network']");
    browser.shows("Wi-Fi (wlan0)");
    browser.click("//summary[text()='Join a network']");
    browser.shows_within("Workshop", Duration::from_mins(1));
    browser.shows("open: others can listen");
    let entry = "//div[@class='item'][b='Workshop']";
    browser.click(&format!("{entry}//button[text()='Join…']"));
    browser.write(&format!("{entry}//input"), "drill and lathe");
    super::device_page::keep(&browser, "agent-wi-fi.png");
    browser.click(&format!("{entry}//button[text()='Join']"));
    browser.shows("Joining “Workshop”");
    browser.shows_within("The last change was kept.", Duration::from_mins(2));
    assert_eq!(wi_fi(&state(device)), "Workshop");
    assert_eq!(saved(device), "600 root Workshop.nmconnection");
}

fn search(device: &Device) -> Vec<Value> {
    // Beacons are heard by chance: the one look may be too early.
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        let (status, found) = device.get("/api/v1/network/wlan0/wi-fi");
        assert_eq!(status, 200, "{found}");
        let found = found.as_array().unwrap().clone();
        if found.len() >= 2 {
            return found;
        }
        assert!(Instant::now() < until, "{found:?}");
    }
}

fn join(device: &Device, name: &str, password: &str, seconds: u64) -> (u16, Value) {
    let plan = json!({ "method": "wi-fi", "name": name, "password": password });
    let change = json!({ "plan": plan, "seconds": seconds });
    device.ask("PUT", "/api/v1/network/wlan0", &change)
}

fn state(device: &Device) -> Value {
    let (status, state) = device.get("/api/v1/network");
    assert_eq!(status, 200, "{state}");
    state
}

/// Returns the name of the network that the first radio is in.
fn wi_fi(state: &Value) -> &Value {
    let interfaces = state["interfaces"].as_array().unwrap();
    let radio = interfaces.iter().find(|one| one["name"] == "wlan0");
    &radio.unwrap()["wi-fi"]
}

/// Waits until the attempt is over, and returns how it ended.
fn ended(device: &Device) -> String {
    await_state(device, |state| state["is-trying"] == true);
    await_state(device, |state| {
        state["is-trying"] == false && state["outcome"].is_string()
    });
    state(device)["outcome"].as_str().unwrap().to_owned()
}

fn await_state(device: &Device, is_so: impl Fn(&Value) -> bool) {
    let until = Instant::now() + Duration::from_mins(3);
    loop {
        let state = state(device);
        if is_so(&state) {
            return;
        }
        assert!(
            Instant::now() < until,
            "{state}\n{}",
            device.shell(
                "journalctl -u NetworkManager -n 60 --no-pager -o cat; ip netns exec air iw dev"
            )
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Lists the profiles on disk, but for the cable's.
fn saved(device: &Device) -> String {
    let said = device.shell("cd /etc/NetworkManager/system-connections; stat -c '%a %U %n' -- *");
    let lines = said
        .lines()
        .filter(|line| line.starts_with("600") && !line.contains("Wired"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Asks the device from the access point's side.
fn over_the_air(device: &Device) -> String {
    let said = device.shell(
        "address=$(ip -4 -o addr show dev wlan0 | awk '{ print $4 }' | cut -d/ -f1)
        ip netns exec air curl --max-time 20 --insecure --silent https://$address/healthz",
    );
    said.trim().to_owned()
}
