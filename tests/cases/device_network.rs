//! The device's address is changed, and nothing that happens then locks its owner out.

use std::time::{Duration, Instant};

use bakelite_tests::bakelite::root;
use bakelite_tests::device::{Device, OTHER};
use serde_json::{Value, json};

/// The address that the machine's network leases.
const LEASED: &str = "10.0.2.15";

#[test]
fn the_device_is_always_reached_at_its_old_or_its_new_address() {
    fs_err::create_dir_all(root().join("target/tests")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target/tests")).unwrap();
    let mut device = Device::build_and_boot(folder.path());
    device.claim();
    let network = Network::of(&device);
    let (port, other) = (device.port, device.other);

    // What cannot work is refused before anything happens.
    let (status, answer) = network.ask(&device, port, &manual("10.0.3.1"), 30);
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("not in the network")
    );

    // Changed and kept: both addresses work until somebody came by the new one.
    let token = network.change(&device, port, &manual("10.0.2.2"), 120);
    await_answer(&device, other);
    assert!(device.answers(port), "the old address is gone");
    let (status, answer) = keep(&device, port, &token);
    assert_eq!(status, 409, "kept without proof: {answer}");
    assert_eq!(keep(&device, other, "0000").0, 409);
    let (status, answer) = keep(&device, other, &token);
    assert_eq!(status, 200, "{answer}");
    network.await_addresses(&device, &[OTHER]);
    assert!(device.answers(other));
    let certificate = device.shell_at_other("cat /var/lib/bakelite-agent/device.addresses");
    assert_eq!(certificate.trim(), OTHER);

    // Changed back and not kept: it goes back by itself.
    let automatic = json!({ "method": "automatic" });
    network.change(&device, other, &automatic, 10);
    network.await_addresses(&device, &[OTHER, LEASED]);
    assert!(device.answers(port) && device.answers(other));
    network.await_addresses(&device, &[OTHER]);
    let state = device
        .ask_at(other, "GET", "/api/v1/network", &Value::Null)
        .1;
    assert!(
        state["outcome"].as_str().unwrap().contains("taken back"),
        "{state}"
    );
    assert!(device.answers(other));

    // A kept change outlives the power.
    device.cut_power(other);
    network.await_addresses(&device, &[OTHER]);
    let token = network.change(&device, other, &automatic, 120);
    await_answer(&device, port);
    assert_eq!(keep(&device, port, &token).0, 200);
    network.await_addresses(&device, &[LEASED]);

    // Both processes are killed while a change is on trial.
    network.change(&device, port, &manual("10.0.2.2"), 20);
    network.await_addresses(&device, &[LEASED, OTHER]);
    device.shell("systemctl kill -s KILL bakelite-helper bakelite-agent");
    network.await_addresses(&device, &[LEASED]);
    await_answer(&device, port);

    // The power is cut while a change is on trial.
    network.change(&device, port, &manual("10.0.2.2"), 600);
    network.await_addresses(&device, &[LEASED, OTHER]);
    device.cut_power(port);
    network.await_addresses(&device, &[LEASED]);
    let (status, state) = device.get("/api/v1/network");
    assert_eq!((status, &state["pending"]), (200, &Value::Null), "{state}");

    name_and_log(&device);
    as_new(&mut device);
}

/// The device gets another name, and its log can be shown to others.
fn name_and_log(device: &Device) {
    let name = json!({ "host-name": "Rack-7" });
    assert_eq!(device.ask("PUT", "/api/v1/device/name", &name).0, 200);
    device.await_shell(
        "cat /etc/hostname /var/lib/bakelite-agent/device.names",
        |said| said.starts_with("rack-7\n") && said.contains("rack-7.local"),
    );
    await_answer(device, device.port);
    let facts = device.get("/api/v1/device").1;
    assert_eq!(facts["host-name"], "rack-7", "{facts}");
    assert!(facts["memory"].as_u64().unwrap() > 1 << 28, "{facts}");

    let (status, log) = device.get("/api/v1/logs?lines=2000");
    let log = log.as_str().unwrap().to_owned();
    assert_eq!(status, 200, "{log}");
    assert!(
        log.contains("NetworkManager") && log.contains("[address 1]"),
        "{log}"
    );
    assert!(!log.contains(LEASED), "{log}");
    let whole = device
        .get("/api/v1/logs?lines=2000&keep=address,card,name,secret")
        .1;
    assert!(whole.as_str().unwrap().contains(LEASED), "{whole}");
}

/// All that was set is gone.
fn as_new(device: &mut Device) {
    let reset = |name: &str| {
        let name = json!({ "host-name": name });
        device.ask("POST", "/api/v1/device/factory-reset", &name)
    };
    // Of the log, of another version, of whoever had a shell: nothing is for the next owner.
    let left_by_others = "/var/log/of-before /data/settings/of-before /data/of-before";
    device.shell(&format!(
        "for file in {left_by_others}; do echo secret >$file; done"
    ));
    assert_eq!(reset("kvm").0, 400);
    let (status, answer) = reset("rack-7");
    assert_eq!(status, 200, "{answer}");
    device.await_end();
    device.cut_power(device.port);
    assert_eq!(device.get("/api/v1/status").1["claimed"], false);
    let left = device.shell(&format!(
        "ls -A /var/lib/bakelite-agent /data /etc/NetworkManager/system-connections {left_by_others} 2>&1; hostname; \
         journalctl --list-boots --no-pager | grep -cE '^ *-?[0-9]+ '"
    ));
    assert!(
        !left.contains("users")
            && !left.contains("factory-reset")
            && left.matches("No such file").count() == 3
            && left.trim_end().ends_with("kvm-probe\n1"),
        "{left}"
    );
}

struct Network {
    interface: String,
}

fn manual(gateway: &str) -> Value {
    json!({ "method": "manual", "address": OTHER, "prefix": 24, "gateway": gateway, "servers": ["10.0.2.3"] })
}

fn keep(device: &Device, port: u16, token: &str) -> (u16, Value) {
    let token = json!({ "token": token });
    device.ask_at(port, "POST", "/api/v1/network/keep", &token)
}

impl Network {
    fn of(device: &Device) -> Self {
        let (status, network) = device.get("/api/v1/network");
        assert_eq!(status, 200, "{network}");
        let one = &network["interfaces"][0];
        assert_eq!(
            one["addresses"],
            json!([format!("{LEASED}/24")]),
            "{network}"
        );
        assert_eq!(one["method"], "automatic");
        assert_eq!(one["gateway"], "10.0.2.2");
        Self {
            interface: one["name"].as_str().unwrap().to_owned(),
        }
    }

    fn ask(&self, device: &Device, port: u16, plan: &Value, seconds: u64) -> (u16, Value) {
        let path = format!("/api/v1/network/{}", self.interface);
        device.ask_at(
            port,
            "PUT",
            &path,
            &json!({ "plan": plan, "seconds": seconds }),
        )
    }

    /// Asks for a change and returns the token that keeps it.
    fn change(&self, device: &Device, port: u16, plan: &Value, seconds: u64) -> String {
        let (status, answer) = self.ask(device, port, plan, seconds);
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Waits until the kernel has these addresses and no others.
    fn await_addresses(&self, device: &Device, expected: &[&str]) {
        let script = format!("ip -4 -o addr show dev {} scope global", self.interface);
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let until = Instant::now() + Duration::from_mins(3);
        loop {
            let said = if expected.contains(&LEASED) {
                device.shell(&script)
            } else {
                device.shell_at_other(&script)
            };
            let found = said
                .lines()
                .filter_map(|line| line.split_whitespace().nth(3));
            let found = found.filter_map(|one| Some(one.split_once('/')?.0));
            let mut found: Vec<&str> = found.collect();
            found.sort_unstable();
            if found == expected {
                return;
            }
            assert!(Instant::now() < until, "{expected:?} awaited:\n{said}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn await_answer(device: &Device, port: u16) {
    let until = Instant::now() + Duration::from_mins(2);
    while !device.answers(port) {
        assert!(Instant::now() < until, "{}", device.console());
        std::thread::sleep(Duration::from_millis(300));
    }
}
