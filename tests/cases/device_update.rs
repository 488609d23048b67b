//! A device updates itself, and no version that must not stay stays. In the virtual machine, whose firmware `bakelite boot`
//! plays.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bakelite_tests::bakelite::{build_probe, run, text};
use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::device::Device;
use bakelite_tests::serve::{HOST, Static, folder_over_tls};
use bakelite_tests::slots::bundle_that_says;
use ota_bundle::Draft;
use serde_json::{Value, json};

use super::device_page::keep;
use super::device_update_killed::{cut_again_and_again, from_another_computer, kills};

/// Rollback index of both versions.
const INDEX: u32 = 2;
pub(super) const STATUS: &str = "bakelite-agent update status 2>&1";

/// Builds a version of the probe image that trusts the keys of this test, and looks at its channel.
fn build(version: &str, keys: &Path, server: &Static) -> PathBuf {
    let authority = keys.with_extension("pem");
    fs_err::write(&authority, &server.certificate).unwrap();
    build_probe(version, |mut recipe| {
        if version != "1.0.0" {
            recipe = recipe.replace("\"kvm-probe\"]", "\"kvm-probe\", \"kvm-probe-next\"]");
        }
        format!(
            "{recipe}\n[update]\nrollback-index = {INDEX}\nkeys = \"{}\"\nauthority = \"{}\"\nsource = \"https://{HOST}:{}/channel\"\n",
            keys.display(),
            authority.display(),
            server.port
        )
    })
}

fn bakelite(arguments: &[&str]) {
    let output = run(arguments);
    assert!(output.status.success(), "{}", text(&output));
}

/// Signs a version and adds it to a channel.
fn publish(version: &Path, to: &Path, keys: &Path) {
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (version, to, keys) = (path(version), path(to), path(keys));
    bakelite(&["publish", &version, "--to", &to, "--keys", &keys]);
}

/// Builds and publishes two versions, and lays out what must be refused. Returns who serves it, and the first version.
fn publish_all(folder: &Path) -> (Static, PathBuf) {
    let (keys, others, stolen) = (
        folder.join("keys"),
        folder.join("others"),
        folder.join("stolen"),
    );
    for keys in [&keys, &others] {
        bakelite(&["keys", "init", "--keys", keys.to_str().unwrap()]);
    }
    // Somebody has the first key, which another has replaced since.
    fs_err::create_dir_all(stolen.join("private")).unwrap();
    for name in ["1.root.json", "private/update.key"] {
        fs_err::copy(keys.join(name), stolen.join(name)).unwrap();
    }
    bakelite(&["keys", "rotate", "--keys", keys.to_str().unwrap()]);
    let server = folder_over_tls(folder.to_owned());
    let (first, second) = (
        build("1.0.0", &keys, &server),
        build("2.0.0", &keys, &server),
    );
    for version in [&first, &second] {
        publish(version, &folder.join("channel"), &keys);
    }
    publish(&second, &folder.join("forged"), &others);
    let made = |name: &str, board: &str, rollback_index, keys: &Path| {
        let draft = Draft {
            product: "kvm-probe".into(),
            version: "3.0.0".into(),
            created: 1,
            rollback_index,
            boards: vec![board.into()],
            disk: 1,
            notes: None,
        };
        let file = folder.join(format!("{name}.upd"));
        fs_err::write(&file, bundle_that_says(draft)).unwrap();
        publish(&file, &folder.join(name), keys);
        folder.join(name).join("bundles/kvm-probe-3.0.0.upd")
    };
    fs_err::create_dir(folder.join("refused")).unwrap();
    for (name, file) in [
        (
            "board",
            made("board", "raspberrypi,5-model-b", INDEX, &keys),
        ),
        ("older", made("older", "linux,dummy-virt", INDEX - 1, &keys)),
        (
            "revoked",
            made("revoked", "linux,dummy-virt", INDEX, &stolen),
        ),
        ("forged", folder.join("forged/bundles/kvm-probe-2.0.0.upd")),
        ("unsigned", second.join("kvm-probe-2.0.0.upd")),
    ] {
        // What is refused is refused by its beginning.
        let mut bytes = fs_err::read(file).unwrap();
        bytes.truncate(1 << 20);
        fs_err::write(folder.join("refused").join(name), bytes).unwrap();
    }
    (server, first)
}

/// A device with its first version, and where it finds the second.
pub(super) struct World {
    pub(super) device: Device,
    /// Port of the host that has the channel, and what must be refused.
    pub(super) port: u16,
    installs: Cell<u32>,
    begun: Instant,
}

impl World {
    pub(super) fn new(device: Device, server: &Static) -> Self {
        Self {
            device,
            port: server.port,
            installs: Cell::new(1),
            begun: Instant::now(),
        }
    }

    /// Says how far the test came, for whoever asks where the time goes or where it hangs.
    #[expect(clippy::print_stdout, reason = "shown when the test fails")]
    pub(super) fn reached(&self, step: &str) {
        println!("after {} s: {step}", self.begun.elapsed().as_secs());
    }

    /// Fetches a bundle and installs it. Returns what was said.
    fn install(&self, name: &str) -> String {
        let unit = format!("install-{}", self.installs.replace(self.installs.get() + 1));
        // A unit of its own: a shell waits less long. The network comes a moment after the shell.
        let script = format!(
            "systemd-run --quiet --collect --unit={unit} sh -c 'until [ -s /data/{name} ]; do \
             curl -s -k --fail -o /data/part https://{HOST}:{}/refused/{name} && mv /data/part /data/{name}; sleep 1; done; \
             exec bakelite-agent update install /data/{name}'",
            self.port
        );
        let said = self.device.shell(&script);
        assert!(said.trim().is_empty(), "{said}");
        let script = format!("systemctl is-active {unit}; journalctl -u {unit} -o cat --no-pager");
        let is_over = |said: &str| said.starts_with("inactive") || said.starts_with("failed");
        self.device.await_over_restarts(&script, is_over)
    }

    /// Has the device look at its channel, install what is there and restart. The network of a server may fail on the way.
    pub(super) fn update_itself(&self, fails: Option<&Static>) {
        let unit = format!("online-{}", self.installs.replace(self.installs.get() + 1));
        if let Some(server) = fails {
            // In the midst of what a bundle says of itself.
            server.fails_after.store(15_000, Ordering::Relaxed);
        }
        // The network comes a moment after the shell. What the installer needs at most is written down meanwhile.
        let script = format!(
            "systemd-run --quiet --collect --unit={unit} sh -c 'until bakelite-agent update look; do sleep 1; done; \
             exec bakelite-agent update install'; \
             systemd-run --quiet --collect --unit=peak-{unit} sh -c 'while sleep 1; do \
             grep VmHWM /proc/$(systemctl show --property MainPID --value bakelite-update)/status >>/data/peak; done'"
        );
        let said = self.device.shell(&script);
        assert!(said.trim().is_empty(), "{said}");
        if let Some(server) = fails {
            let until = Instant::now() + Duration::from_mins(5);
            while server.fails_after.load(Ordering::Relaxed) > 0 {
                assert!(
                    Instant::now() < until,
                    "it fetches less than the network lets through"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            server.fails_after.store(u64::MAX, Ordering::Relaxed);
        }
    }

    pub(super) fn await_status(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.device.await_over_restarts(STATUS, is_it)
    }
}

pub(super) fn is_resting(said: &str) -> bool {
    said.contains("\"phase\": \"idle\"")
}

/// Returns when the last update began by what the device says, and whether its version was on trial since.
fn last_trial(said: &str) -> (Option<u64>, bool) {
    let Some((before, after)) = said.rsplit_once("goes into slot") else {
        return (None, false);
    };
    let line = before.lines().next_back().unwrap_or_default();
    let time = line
        .split_whitespace()
        .next()
        .and_then(|time| time.parse().ok());
    (time, after.contains("starts on trial"))
}

/// Versions that must not stay: the device is back in the first slot, and says why.
fn break_in_every_way(world: &World, server: &Static) {
    for (fault, reason) in [
        ("agent", "bakelite-agent.service: it is"),
        ("network", "the network: there is no way out"),
        ("kernel", "it crashed or hung while it was on trial"),
        ("hang", "it crashed or hung while it was on trial"),
        ("start", "it crashed or hung while it was on trial"),
        ("root", "it crashed or hung while it was on trial"),
        (
            "migration",
            "the settings could not be migrated: 1-mark: somebody asked for this",
        ),
    ] {
        let (before, _) = last_trial(&world.device.shell(STATUS));
        world.device.shell(&format!("echo {fault} >/data/fault"));
        world.update_itself((fault == "agent").then_some(server));
        // A reason may be the same as the one before: another trial must have begun since.
        let was_tried = |said: &str| {
            let (time, is_tried) = last_trial(said);
            is_tried && time != before
        };
        let said =
            world.await_status(|said| was_tried(said) && is_resting(said) && said.contains(reason));
        assert!(
            said.contains("slot A runs, slot A is kept") && said.contains(reason),
            "{fault}: {said}"
        );
        world.device.shell("rm /data/fault");
        world.reached(fault);
    }
}

/// Bundles of nobody whom the device trusts, for another board, and from before a fault was mended.
fn refuse(world: &World) {
    for (name, why) in [
        ("unsigned", "nobody signed this bundle"),
        ("forged", "nobody whom this device trusts"),
        ("revoked", "nobody whom this device trusts"),
        ("board", "raspberrypi,5-model-b"),
        (
            "older",
            "has rollback index 1, and this device takes none below 2",
        ),
    ] {
        let said = world.install(name);
        assert!(said.contains(why), "{name}: {said}");
        let said = world.device.shell(STATUS);
        assert!(
            said.contains("slot A runs") && !said.contains("goes into slot"),
            "something was begun: {said}"
        );
    }
}

/// What its owner stops does not go on by itself.
fn stop(world: &World) {
    let choose = |limit: Value| {
        let (status, view) = world.device.get("/api/v1/update");
        assert_eq!(status, 200, "{view}");
        let mut choices = view["choices"].clone();
        choices["limit-kib"] = limit;
        let (status, said) = world.device.ask("PUT", "/api/v1/update/choices", &choices);
        assert!(status < 300, "{status} {said}");
    };
    choose(json!(1));
    let said = world.device.shell("systemd-run --quiet --collect --unit=slow sh -c 'until bakelite-agent update look; do sleep 1; done; bakelite-agent update install'");
    assert!(said.trim().is_empty(), "{said}");
    let until = Instant::now() + Duration::from_mins(3);
    let await_view = |is_it: &dyn Fn(&Value) -> bool| {
        loop {
            let (_, view) = world.device.get("/api/v1/update");
            if is_it(&view) {
                return;
            }
            assert!(Instant::now() < until, "{view}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    await_view(&|view| {
        view["doing"]["total"]
            .as_u64()
            .is_some_and(|total| total > 0)
    });
    let (status, said) = world.device.ask("DELETE", "/api/v1/update", &Value::Null);
    assert!(status < 300, "{status} {said}");
    await_view(&|view| {
        let reason = view["outcome"]["reason"].as_str().unwrap_or_default();
        view["doing"]["what"] == "rest" && reason.starts_with("its owner stopped it")
    });
    let said = world.device.shell(STATUS);
    assert!(is_resting(&said), "it would go on by itself: {said}");
    choose(Value::Null);
}

/// The owner signs in, looks what is new and counts what it costs.
fn look_at_page(world: &World, browser: &Browser) {
    browser.open(&world.device.address("/"));
    browser.write("//input[@id='user']", "admin");
    browser.write("//input[@id='password']", "correct horse");
    browser.press("Sign in");
    browser.shows("USB connected");
    browser.click("//nav//button[@data-panel='updates']");
    browser.shows("It was not looked yet what is new");
    browser.press("Look now");
    browser.shows_within("Version 2.0.0 is new", Duration::from_mins(1));
    browser.press("Count the bytes");
    browser.shows_within("would be fetched", Duration::from_mins(3));
    keep(browser, "agent-update.png");
    browser.script("window.confirm = () => true; arguments[arguments.length - 1](true);");
}

#[test]
fn a_device_updates_itself_and_keeps_no_version_that_is_not_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let (server, first) = publish_all(folder.path());
    let image = first.join("kvm-probe-1.0.0.img.zst");
    let device = Device::boot_image(folder.path(), &image, true);
    let mut world = World::new(device, &server);
    let device = &world.device;
    device.claim();
    device.shell("echo workshop >/etc/hostname; echo media >/var/lib/bakelite-agent/media/image; echo gone >/etc/not-declared; echo plain >/etc/kvm-probe");

    refuse(&world);
    world.reached("what must be refused was");
    // The spare slot of a new device is filled, so that its first update writes little. That is no version to go back to.
    let copy = "slot B holds a copy of version 1.0.0";
    let said = world.await_status(|said| said.contains(copy));
    assert!(said.contains("slot A runs, slot A is kept"), "{said}");
    let (_, view) = world.device.get("/api/v1/update");
    assert_eq!(view["before"], Value::Null, "{view}");
    world.reached("its spare slot filled");
    stop(&world);
    world.reached("stopped by its owner");

    // Whoever cuts the power often has the usual test for that.
    if kills() == 1 {
        break_in_every_way(&world, &server);
    } else {
        // The page is to find a device that has not looked since it started.
        let port = world.device.port;
        world.device.cut_power(port);
    }

    // A good version, by its owner on the page; and the power is cut on its first start: that is no fault of it.
    let browser = Browser::start(Look {
        width: 1280,
        height: 1000,
        is_dark: false,
        scripts: true,
    });
    let before = server.sent.load(Ordering::Relaxed);
    look_at_page(&world, &browser);
    browser.press("Install now");
    browser.shows_within("is on trial", Duration::from_mins(8));
    keep(&browser, "agent-update-trial.png");
    let sent = server.sent.load(Ordering::Relaxed) - before;
    assert!(sent < 1 << 20, "only what differs is fetched: {sent}");
    let port = world.device.port;
    world.reached("on trial");
    world.device.cut_power(port);
    let said =
        world.await_status(|said| is_resting(said) && said.contains("slot B runs, slot B is kept"));
    assert!(said.contains("is tried again: the power was cut"), "{said}");
    let said = world.device.await_over_restarts(
        "cat /etc/hostname /var/lib/bakelite-agent/media/image /usr/lib/bakelite/image.json /etc/kvm-probe; ls /etc/not-declared 2>&1",
        |said| said.contains("workshop"),
    );
    assert!(
        said.contains("media")
            && said.contains("\"version\":\"2.0.0\"")
            && said.contains("plain and migrated")
            && said.contains("No such file"),
        "{said}"
    );
    // Going back, to a version that it had, costs nothing but a restart and a trial.
    browser.shows_within("was kept: it was healthy in slot B", Duration::from_mins(2));
    keep(&browser, "agent-update-kept.png");
    world.reached("kept, after the power was cut");
    browser.press("Go back to it");
    cut_again_and_again(&mut world);
    world.reached("cut at random, and back in the first version");
    from_another_computer(&world, folder.path(), &server.fleet);
    world.reached("updated by a fleet server");
    // 32 MiB, on a device of 512: of the installer with all that it does.
    let peak = world.device.shell("sort -k 2 -n /data/peak | tail -n 1");
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("the installer needed {kib} KiB at most");
    assert!(kib < 32 << 10, "{peak}");
    // It is still claimed by its owner.
    let (status, _) = world.device.get("/api/v1/status");
    assert_eq!(status, 200);
}
