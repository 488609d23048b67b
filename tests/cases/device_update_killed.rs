//! The power is cut at random moments of an update: while it is fetched and written, while the slot is asked for, at its first start,
//! while it is tried and kept. Once in CI; `scripts/kill-updates` does it more often than CI has time for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bakelite_tests::bakelite::{command, text};
use bakelite_tests::hawkbit::{Fleet, Order};
use bakelite_tests::serve::HOST;
use serde_json::{Value, json};

use super::device_update::{STATUS, World, is_resting};

/// Longer than an update takes when nothing disturbs it, restart and trial included. Machines differ: what was over sooner is cut
/// sooner the next time.
const LONGEST: Duration = Duration::from_secs(80);
/// Nothing is over sooner: whatever rests then has not begun.
const SHORTEST: Duration = Duration::from_secs(30);

/// Numbers that look random, the same for the same seed (splitmix64, Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % limit
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a script says how often, nextest passes nothing else on"
)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// How often the power is cut.
pub(super) fn kills() -> u64 {
    number("BAKELITE_KILLS", 1)
}

/// What the device remembers, and which version runs. Its settings are those of that version.
fn look(world: &World) -> (String, Value) {
    let said = world
        .device
        .await_over_restarts(&format!("{STATUS}; cat /etc/kvm-probe"), |said| {
            said.contains("version ") && said.contains("plain")
        });
    let version = said
        .lines()
        .find_map(|line| line.strip_prefix("version "))
        .expect("it says its version")
        .to_owned();
    let is_migrated = said.contains("plain and migrated");
    assert_eq!(is_migrated, version == "2.0.0", "{said}");
    let state = said.find('{').and_then(|from| {
        let mut values = serde_json::Deserializer::from_str(&said[from..]).into_iter();
        values.next()?.ok()
    });
    (version, state.expect("it says what it remembers"))
}

/// Has the device begin an update, or go back to the version before; whatever it does already goes on. Returns whether it goes back.
fn begin(world: &World, random: &mut Random) -> bool {
    let (version, state) = look(world);
    let goes_back = version == "2.0.0";
    if state["phase"]["phase"] != "idle" {
        return goes_back;
    }
    if goes_back {
        let unit = format!("back-{}", random.below(u64::MAX));
        let script =
            format!("systemd-run --quiet --collect --unit={unit} bakelite-agent update back");
        let said = world.device.shell(&script);
        assert!(said.trim().is_empty(), "{said}");
        return true;
    }
    // What the slot holds from the last time is lost, so that there is something to write.
    let part = if state["good"] == "a" { 6 } else { 5 };
    let from = random.below(100);
    let damage = format!(
        "for d in /dev/vd?{part}; do dd if=/dev/urandom of=$d bs=1M seek={from} count=150 conv=notrunc,fsync 2>&1; done"
    );
    world.device.shell(&damage);
    world.update_itself(None);
    false
}

/// Says what the device does, for the list at the end.
fn doing(world: &World) -> String {
    let request = world.device.request("GET", "/api/v1/update");
    let answer = request.timeout(Duration::from_secs(2)).send();
    let view = answer.and_then(reqwest::blocking::Response::json::<Value>);
    match view {
        Ok(view) => view["doing"]["what"].as_str().unwrap_or("?").to_owned(),
        Err(_) => "starting".into(),
    }
}

/// Cuts the power as often as `BAKELITE_KILLS` says: of what is going on first, then of updates to and fro. A device at rest is not
/// counted.
#[expect(
    clippy::print_stdout,
    reason = "whoever cuts often reads how often it was what"
)]
pub(super) fn cut_again_and_again(world: &mut World) {
    let (kills, seed) = (kills(), number("BAKELITE_SEED", 1));
    let random = &mut Random(seed);
    let mut tally = BTreeMap::<String, u32>::new();
    let mut floor = (0, 0);
    let (mut kill, mut rests) = (1, 0);
    // The first cut is of what somebody else has begun.
    let mut is_begun = true;
    // Of updates, and of going back.
    let mut longest = [LONGEST; 2];
    while kill <= kills {
        let goes_back = std::mem::take(&mut is_begun) || begin(world, random);
        let longest = &mut longest[usize::from(goes_back)];
        let wait = random.below(u64::try_from(longest.as_millis()).unwrap());
        let waited = Instant::now();
        std::thread::sleep(Duration::from_millis(wait));
        let what = doing(world);
        if ["rest", "look"].contains(&what.as_str()) {
            *longest = waited.elapsed().max(SHORTEST).min(*longest);
            println!("after {wait} ms it was at “{what}”: not counted, and not cut");
            rests += 1;
            assert!(
                rests < 10 + 4 * kills,
                "it does nothing of what it is asked for"
            );
            continue;
        }
        let port = world.device.port;
        world.device.cut_power(port);
        let (version, state) = look(world);
        println!(
            "{kill}: after {wait} ms, while it was at “{what}”: {version} runs, {}",
            state["phase"]["phase"]
        );
        *tally.entry(what).or_default() += 1;
        assert!(["1.0.0", "2.0.0"].contains(&version.as_str()), "{version}");
        let counters = (
            state["rollback-index"].as_u64().unwrap(),
            state["clock-floor"].as_u64().unwrap(),
        );
        assert!(
            counters.0 >= floor.0 && counters.1 >= floor.1,
            "a counter fell: {counters:?} from {floor:?}"
        );
        floor = counters;
        kill += 1;
    }
    println!("{kills} cuts, seed {seed}: {tally:?}");
    // Whatever was going on comes to its end, and what follows begins with the first version: its settings, and whoever may sign
    // in, go up with the device. The other way leads to those of before the migration.
    world.await_status(is_resting);
    if look(world).0 == "2.0.0" {
        let said = world
            .device
            .shell("systemd-run --quiet --collect --unit=back-at-last bakelite-agent update back");
        assert!(said.trim().is_empty(), "{said}");
        world.await_status(|said| is_resting(said) && said.contains("version 1.0.0"));
    }
}

/// A fleet server orders the second version, and the owner agrees from another computer. `bakelite device` waits over restart and
/// trial, and believes the certificate only that the device's console shows.
pub(super) fn from_another_computer(world: &World, folder: &Path, fleet: &Fleet) {
    assert_eq!(look(world).0, "1.0.0");
    let other = "2.0.0";
    let order = |update, asks_owner| {
        let file = format!("channel/bundles/kvm-probe-{other}.upd");
        fleet.order(&file, update, asks_owner);
    };
    follow_fleet(world, fleet);
    world.reached("refused what a fleet server ordered for another board");
    let made = json!({ "name": "laptop", "role": "admin", "days": 1 });
    let (status, token) = world.device.ask("POST", "/api/v1/tokens", &made);
    assert!(status < 300, "{token}");
    let host = format!("127.0.0.1:{}", world.device.port);
    let run = |words: &[&str]| {
        let output = command(&[&["device"], words].concat())
            .env("XDG_CONFIG_HOME", folder)
            .env("BAKELITE_TOKEN", token["secret"].as_str().unwrap())
            .output()
            .unwrap();
        (output.status.success(), text(&output))
    };
    let (good, said) = run(&["status", &host]);
    assert!(!good && said.contains("is not known yet"), "{said}");
    let script = "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
    let shown = world.device.shell(script);
    let shown = shown.trim().split('=').nth(1).unwrap();
    assert!(said.contains(shown), "{said}");
    let wrong = shown.replace(&shown[..2], if &shown[..2] == "00" { "01" } else { "00" });
    let (good, said) = run(&["status", &host, "--fingerprint", &wrong]);
    assert!(
        !good && said.contains("something else answers in its place"),
        "{said}"
    );
    let fingerprint = shown;
    // Taken back before anybody agreed.
    order("attempt", true);
    let (good, said) = run(&["look", &host, "--fingerprint", fingerprint]);
    let offered = format!("version {other} is new");
    assert!(good && said.contains(&offered), "{said}");
    let (good, said) = run(&["plan", &host]);
    assert!(good && said.contains("KiB to fetch"), "{said}");
    let (good, said) = run(&["install", &host, "--at-night"]);
    assert!(
        good && said.contains("is installed the next night"),
        "{said}"
    );
    let (good, said) = run(&["stop", &host]);
    assert!(good && !said.contains("next night"), "{said}");
    let older = folder.join("refused/older");
    let (good, said) = run(&["install", &host, older.to_str().unwrap()]);
    let why = "problem: the update has rollback index 1, and this device takes none below 2";
    assert!(!good && said.contains(why), "{said}");
    fleet.cancel();
    let (good, said) = run(&["look", &host]);
    assert!(good && !said.contains(&offered), "{said}");
    assert_eq!(fleet.last().finished.as_deref(), Some("canceled"));
    // And for good.
    order("forced", true);
    let (good, said) = run(&["install", &host]);
    assert!(good && said.contains("was kept"), "{said}");
    assert_eq!(look(world).0, other);
    let until = Instant::now() + Duration::from_mins(3);
    while fleet.last().finished.is_none() {
        assert!(Instant::now() < until, "{:?}", fleet.last());
        std::thread::sleep(Duration::from_millis(500));
    }
    let Order { said, finished, .. } = fleet.last();
    assert_eq!(finished.as_deref(), Some("success"), "{said:?}");
    let is_progress = |status: &Value| status["result"]["progress"]["of"] == 10;
    assert!(said.iter().any(is_progress), "{said:?}");
    assert_eq!(fleet.config()["product"], "kvm-probe");
    let (good, said) = run(&["back", &host]);
    assert!(good && said.contains("version 1.0.0 was kept"), "{said}");
    assert_eq!(look(world).0, "1.0.0");
}

/// The device gets a token and the server's address; what it must not install is refused without a person.
fn follow_fleet(world: &World, fleet: &Fleet) {
    let device = &world.device;
    let (_, view) = device.get("/api/v1/update");
    let mut choices = view["choices"].clone();
    choices["source"] = format!("hawkbit+https://{HOST}:{}", world.port).into();
    // Whatever the time is where this test runs, it is not night.
    choices["night-minutes"] = 0.into();
    for (path, body) in [
        ("token", json!({ "token": "a secret" })),
        ("choices", choices),
    ] {
        let path = format!("/api/v1/update/{path}");
        let (status, said) = device.ask("PUT", &path, &body);
        assert!(
            status < 300 && !said.to_string().contains("a secret"),
            "{said}"
        );
    }
    // The same with the device's own command line.
    let said = device.shell("echo 'a secret' | bakelite-agent update token 2>&1");
    assert!(said.contains("is shown the token"), "{said}");
    // It tries at once, and says what is wrong.
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        let (_, view) = device.get("/api/v1/update");
        let problem = view["problem"].as_str().unwrap_or_default();
        if problem.contains("does not take this device's token") {
            break;
        }
        assert!(Instant::now() < until, "{view}");
        std::thread::sleep(Duration::from_millis(500));
    }
    fleet.know("a secret");
    fleet.order("board/bundles/kvm-probe-3.0.0.upd", "forced", false);
    let until = Instant::now() + Duration::from_mins(3);
    while fleet.last().finished.is_none() {
        device.shell("bakelite-agent update look 2>&1");
        assert!(Instant::now() < until, "{:?}", fleet.last());
    }
    let Order { said, finished, .. } = fleet.last();
    assert_eq!(finished.as_deref(), Some("failure"));
    assert!(
        said[0]["details"]
            .to_string()
            .contains("raspberrypi,5-model-b"),
        "{said:?}"
    );
}
