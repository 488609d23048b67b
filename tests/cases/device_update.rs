//! A device updates itself, and no version that must not stay stays. In the virtual machine, whose firmware `bakelite boot`
//! plays.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path as Name;
use axum::routing::get;
use bakelite_tests::bakelite::{build_probe, run, text};
use bakelite_tests::browser::{Browser, Look};
use bakelite_tests::device::Device;
use bakelite_tests::serve::{HOST, Static, folder_over_tls, on_loopback};

use super::device_page::keep;

const STATUS: &str = "bakelite-agent update status 2>&1";

/// Builds a version of the probe image that trusts the keys of this test, and looks at its channel.
fn build(version: &str, keys: &Path, server: &Static) -> PathBuf {
    let authority = keys.with_extension("pem");
    fs_err::write(&authority, &server.certificate).unwrap();
    build_probe(version, |recipe| {
        format!(
            "{recipe}\n[update]\nkeys = \"{}\"\nauthority = \"{}\"\nsource = \"https://{HOST}:{}/channel\"\n",
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

/// A device with its first version, and where it finds the second.
struct World {
    device: Device,
    address: String,
    installs: Cell<u32>,
}

impl World {
    /// Fetches a bundle and installs it. Returns what was said.
    fn install(&self, name: &str) -> String {
        let unit = format!("install-{}", self.installs.replace(self.installs.get() + 1));
        // A unit of its own: a shell waits less long. The network comes a moment after the shell.
        let script = format!(
            "systemd-run --quiet --collect --unit={unit} sh -c 'until [ -s /data/{name} ]; do \
             curl -s --fail -o /data/part {}/{name} && mv /data/part /data/{name}; sleep 1; done; \
             exec bakelite-agent update install /data/{name}'",
            self.address
        );
        let said = self.device.shell(&script);
        assert!(said.trim().is_empty(), "{said}");
        let script = format!("systemctl is-active {unit}; journalctl -u {unit} -o cat --no-pager");
        let is_over = |said: &str| said.starts_with("inactive") || said.starts_with("failed");
        self.device.await_over_restarts(&script, is_over)
    }

    /// Has the device look at its channel, install what is there and restart. The network may fail on the way.
    fn update_itself(&self, server: &Static, fails: bool) {
        let unit = format!("online-{}", self.installs.replace(self.installs.get() + 1));
        if fails {
            // In the midst of what a bundle says of itself.
            server.fails_after.store(15_000, Ordering::Relaxed);
        }
        // The network comes a moment after the shell.
        let script = format!(
            "systemd-run --quiet --collect --unit={unit} sh -c 'until bakelite-agent update look; do sleep 1; done; \
             exec bakelite-agent update install'"
        );
        let said = self.device.shell(&script);
        assert!(said.trim().is_empty(), "{said}");
        if fails {
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

    fn restart(&self) {
        self.device.shell("sync; systemctl --no-block reboot");
    }

    fn await_status(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.device.await_over_restarts(STATUS, is_it)
    }
}

fn is_resting(said: &str) -> bool {
    said.contains("\"phase\": \"idle\"")
}

/// Versions that must not stay: the device is back in the first slot, and says why.
fn break_in_every_way(world: &World, server: &Static) {
    for (fault, reason) in [
        ("agent", "bakelite-agent.service: it is"),
        ("network", "the network: there is no way out"),
        ("kernel", "it crashed or hung while it was on trial"),
    ] {
        world.device.shell(&format!("echo {fault} >/data/fault"));
        world.update_itself(server, fault == "agent");
        let said = world.await_status(|said| is_resting(said) && said.contains(reason));
        assert!(
            said.contains("slot A runs, slot A is kept") && said.contains(reason),
            "{fault}: {said}"
        );
        world.device.shell("rm /data/fault");
    }

    // A root slot that is damaged after it was checked, where every start reads.
    let said = world.install("good");
    assert!(said.contains("It is tried at the next start"), "{said}");
    let damage = "for d in /dev/vd?6; do dd if=/dev/urandom of=$d bs=4096 count=1000 conv=notrunc 2>&1; done; sync";
    world.device.shell(damage);
    world.restart();
    let said = world.await_status(|said| {
        is_resting(said)
            && said.matches("goes into slot B").count() >= 4
            && said.contains("slot A runs")
    });
    assert!(
        said.contains("it crashed or hung while it was on trial"),
        "{said}"
    );
}

/// Bundles of nobody whom the device trusts.
fn refuse(world: &World) {
    let said = world.install("unsigned");
    assert!(said.contains("nobody signed this bundle"), "{said}");
    let said = world.install("forged");
    assert!(said.contains("nobody whom this device trusts"), "{said}");
    assert!(
        world.device.shell(STATUS).contains("slot A runs"),
        "nothing was begun"
    );
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
    let keys = folder.path().join("keys");
    let others = folder.path().join("others");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for folder in [&keys, &others] {
        bakelite(&["keys", "init", "--keys", &path(folder)]);
    }
    let server = folder_over_tls(folder.path().to_owned());
    let (first, second) = (
        build("1.0.0", &keys, &server),
        build("2.0.0", &keys, &server),
    );
    let (channel, forged) = (folder.path().join("channel"), folder.path().join("forged"));
    for version in [&first, &second] {
        bakelite(&[
            "publish",
            &path(version),
            "--to",
            &path(&channel),
            "--keys",
            &path(&keys),
        ]);
    }
    bakelite(&[
        "publish",
        &path(&second),
        "--to",
        &path(&forged),
        "--keys",
        &path(&others),
    ]);
    let bundles = [
        ("good", channel.join("bundles/kvm-probe-2.0.0.upd")),
        ("forged", forged.join("bundles/kvm-probe-2.0.0.upd")),
        ("unsigned", second.join("kvm-probe-2.0.0.upd")),
    ];
    let serve = move |Name(name): Name<String>| {
        let file = bundles
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, path)| path.clone());
        async move {
            let mut bytes = fs_err::read(file.expect("a bundle")).expect("it is there");
            // What is refused is refused by its beginning.
            bytes.truncate(if name == "good" { usize::MAX } else { 1 << 20 });
            bytes
        }
    };
    let port = on_loopback(Router::new().route("/{name}", get(serve)));
    let address = format!("http://10.0.2.2:{}", port.rsplit(':').next().unwrap());
    let image = first.join("kvm-probe-1.0.0.img.zst");
    let mut world = World {
        device: Device::boot_image(folder.path(), &image, true),
        address,
        installs: Cell::new(1),
    };
    let device = &world.device;
    device.claim();
    device.shell("echo workshop >/etc/hostname; echo media >/var/lib/bakelite-agent/media/image; echo gone >/etc/not-declared");

    refuse(&world);

    break_in_every_way(&world, &server);

    // A good version, by its owner on the page; and the power is cut on its first start: that is no fault of it.
    let browser = Browser::start(Look {
        width: 1280,
        height: 1000,
        is_dark: false,
        scripts: true,
    });
    look_at_page(&world, &browser);
    browser.press("Install now");
    browser.shows_within("is on trial", Duration::from_mins(8));
    keep(&browser, "agent-update-trial.png");
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < 1 << 20, "only what differs is fetched: {sent}");
    let port = world.device.port;
    world.device.cut_power(port);
    let said =
        world.await_status(|said| is_resting(said) && said.contains("slot B runs, slot B is kept"));
    assert!(said.contains("is tried again: the power was cut"), "{said}");
    let said = world.device.await_over_restarts(
        "cat /etc/hostname /var/lib/bakelite-agent/media/image /usr/lib/bakelite/image.json; ls /etc/not-declared 2>&1",
        |said| said.contains("workshop"),
    );
    assert!(
        said.contains("media")
            && said.contains("\"version\":\"2.0.0\"")
            && said.contains("No such file"),
        "{said}"
    );
    // Going back, to a version that it had, costs nothing but a restart and a trial.
    browser.shows_within("was kept: it was healthy in slot B", Duration::from_mins(2));
    keep(&browser, "agent-update-kept.png");
    browser.press("Go back to it");
    let said =
        world.await_status(|said| is_resting(said) && said.contains("slot A runs, slot A is kept"));
    assert!(said.contains("version 1.0.0 is kept"), "{said}");
    // It is still claimed by its owner.
    let (status, _) = world.device.get("/api/v1/status");
    assert_eq!(status, 200);
}
