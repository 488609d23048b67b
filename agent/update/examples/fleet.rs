//! What a fleet of devices asks of a web server in thirty days, of which one brings a release. The schedule and the wave are the
//! device's own; sizes and counts are those of a real channel, given below. `scripts/simulate-fleet` runs it; `docs/scale.md` has
//! the results.

#![expect(clippy::print_stdout, reason = "its results are for people")]
#![expect(
    clippy::cast_precision_loss,
    reason = "numbers for people have few digits"
)]

use agent_update::protocol::Choices;
use agent_update::schedule::{Looks, is_night};
use update_trust::{Step, Wave};

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const DAYS: u64 = 30;
/// The release comes at noon, UTC, of this day.
const RELEASE: u64 = 3 * DAY + DAY / 2;

/// What goes over the wire, in bytes, TLS and headers included: a handshake with a certificate chain of two, and 600 bytes of
/// headers both ways for each question.
struct Costs {
    handshake: u64,
    question: u64,
    /// timestamp.json, snapshot and targets of a channel with five releases.
    metadata: [u64; 3],
    /// What a bundle says of itself.
    bundle: u64,
    /// A delta, in so many parts.
    delta: (u64, u64),
}

const COSTS: Costs = Costs {
    handshake: 4500,
    question: 600,
    metadata: [611, 610, 5500],
    bundle: 21_000,
    delta: (2_500_000, 60),
};

/// Requests and bytes in each minute.
struct Load {
    requests: Vec<u64>,
    bytes: Vec<u64>,
}

impl Load {
    fn add(&mut self, second: u64, requests: u64, bytes: u64) {
        if let Ok(minute) = usize::try_from(second / MINUTE)
            && let (Some(all), Some(sum)) =
                (self.requests.get_mut(minute), self.bytes.get_mut(minute))
        {
            *all += requests;
            *sum += bytes;
        }
    }
}

struct Chance(u64);

impl Chance {
    /// splitmix64.
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn simulate(devices: u64, wave: Option<&Wave>, at_night: bool) -> Load {
    let minutes = usize::try_from(DAYS * DAY / MINUTE).expect("a small number");
    let mut load = Load {
        requests: vec![0; minutes],
        bytes: vec![0; minutes],
    };
    let mut chance = Chance(1);
    let Costs {
        handshake,
        question,
        metadata,
        bundle,
        delta,
    } = COSTS;
    for device in 0..devices {
        let id = format!("device-{device}");
        // Owners live everywhere: their nights begin at any time of the day.
        let night = Choices {
            night_from: u16::try_from(chance.next() % 1440).expect("minutes of a day"),
            ..Choices::default()
        };
        let mut looks = Looks::default();
        let mut now = chance.next() % DAY;
        let (mut seen, mut is_done) = (false, false);
        while now < DAYS * DAY {
            load.add(now, 1, handshake + question);
            if now >= RELEASE && !seen {
                seen = true;
                load.add(now, 2, 2 * question + metadata.iter().sum::<u64>());
            }
            let is_due = seen && !is_done && wave.is_none_or(|wave| wave.reaches(&id, now));
            if is_due {
                is_done = true;
                let mut begins = now;
                while at_night && !is_night(&night, begins) {
                    begins += MINUTE;
                }
                // It looks once more, and fetches over ten minutes.
                load.add(begins, 3, handshake + 3 * question + bundle);
                for part in 0..10 {
                    load.add(
                        begins + part * MINUTE,
                        delta.1 / 10,
                        delta.0 / 10 + delta.1 / 10 * question,
                    );
                }
            }
            now += looks.well(chance.next()).as_secs();
        }
    }
    load
}

fn main() {
    let steps = [(3600, 1), (DAY, 10), (3 * DAY, 100)];
    let wave = Wave {
        salt: "salt".into(),
        start: RELEASE,
        steps: steps.map(|(after, percent)| Step { after, percent }).into(),
        paused: None,
    };
    println!(
        "| devices | release | requests a day at rest | busiest minute, requests/s | busiest minute, Mbit/s | GB in 30 days |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for devices in [1, 10_000, 1_000_000] {
        for (name, wave, at_night) in [
            ("for all at once, installed when seen", None, false),
            ("for all at once, installed at night", None, true),
            ("in a wave of three days, at night", Some(&wave), true),
        ] {
            let load = simulate(devices, wave, at_night);
            let day = usize::try_from(DAY / MINUTE).expect("a small number");
            let rest: u64 = load.requests[day..2 * day].iter().sum();
            let most = load.requests.iter().max().copied().unwrap_or(0);
            let widest = load.bytes.iter().max().copied().unwrap_or(0);
            let bytes: u64 = load.bytes.iter().sum();
            println!(
                "| {devices} | {name} | {rest} | {:.1} | {:.1} | {:.3} |",
                most as f64 / 60.0,
                widest as f64 * 8.0 / 60.0 / 1e6,
                bytes as f64 / 1e9
            );
        }
    }
}
