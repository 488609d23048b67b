//! A host made of a socket: every datagram is a report, and a full socket is a host that stalls.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::{HostSide, SharedOutbox, serve_open};
use crate::held::{Held, Viewer};
use crate::key::Key;
use crate::layout::{Layout, Plan};
use crate::paste::{Ended, Paste};
use crate::report::{KeyboardReport, Leds, Report as _};

fn pair() -> (UnixDatagram, AsyncFd<File>) {
    let (host, device) = UnixDatagram::pair().unwrap();
    device.set_nonblocking(true).unwrap();
    host.set_nonblocking(true).unwrap();
    let file = File::from(OwnedFd::from(device));
    (host, agent_sys::watched::watch(file).unwrap())
}

fn received(host: &UnixDatagram) -> Vec<[u8; 8]> {
    let mut all = Vec::new();
    let mut report = [0; 8];
    while let Ok(length) = host.recv(&mut report) {
        assert_eq!(length, 8);
        all.push(report);
    }
    all
}

fn random() -> impl FnMut(u32) -> u32 {
    use proptest::prelude::Rng as _;
    // Always the same numbers: a failure can be looked at again.
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    move |below| random.next_u32() % below
}

/// Whether `seen` is `told` with some left out and some repeated, in order.
fn is_in_order(seen: &[[u8; 8]], told: &[[u8; 8]]) -> bool {
    let mut at = 0;
    seen.iter().all(|report| {
        let found = told[at..].iter().position(|other| other == report);
        at += found.unwrap_or(0);
        found.is_some()
    })
}

/// Presses and releases by three viewers of which some vanish, a host that stalls, and a daemon that
/// starts again: in the end every key is up, and what the host saw is in order.
#[tokio::test]
async fn ten_thousand_presses_end_with_every_key_up_and_the_order_kept() {
    let mut random = random();
    let (host, device) = pair();
    let device = Arc::new(device);
    let (mut seen, mut told) = (Vec::new(), vec![[0; 8]]);
    let mut operations = 0;
    let (mut longest_wait, mut is_stalled) = (0, false);
    while operations < 10_000 {
        // One life of the daemon.
        let outbox = Arc::new(SharedOutbox::<KeyboardReport>::default());
        outbox.host_lost();
        told.push([0; 8]);
        let task = tokio::spawn({
            let (outbox, device) = (Arc::clone(&outbox), Arc::clone(&device));
            async move { serve_open(&device, &outbox, None).await }
        });
        let mut held = Held::default();
        for _ in 0..1_000 + random(3_000) {
            operations += 1;
            let viewer = Viewer(u64::from(random(3)));
            let key = Key::all().nth(random(12) as usize).unwrap();
            match random(100) {
                0..=1 => held.release_all(viewer),
                2..=30 => held.press(
                    viewer,
                    key,
                    std::time::Instant::now(),
                    Duration::from_secs(1),
                ),
                _ => held.release(viewer, key),
            }
            let report = KeyboardReport::of(held.down());
            told.push(report.bytes());
            outbox.push(report);
            is_stalled ^= random(200) == 0;
            if !is_stalled && random(4) == 0 {
                tokio::task::yield_now().await;
                let new = received(&host);
                longest_wait = longest_wait.max(new.len());
                seen.extend(new);
            }
        }
        if random(2) == 0 {
            // The daemon is ended with keys down and reports waiting.
            task.abort();
            drop(task.await);
            continue;
        }
        for viewer in 0..3 {
            held.release_all(Viewer(viewer));
        }
        told.push([0; 8]);
        outbox.push(KeyboardReport::of(held.down()));
        finish(&host, &outbox, &mut seen).await;
        task.abort();
        drop(task.await);
        assert_eq!(seen.last(), Some(&[0; 8]), "every key is up");
    }
    let outbox = SharedOutbox::<KeyboardReport>::default();
    outbox.host_lost();
    told.push([0; 8]);
    tokio::select! {
        _ = serve_open(&device, &outbox, None) => unreachable!("the host is there"),
        () = finish(&host, &outbox, &mut seen) => {}
    }
    assert_eq!(seen.last(), Some(&[0; 8]), "every key is up");
    assert!(longest_wait > 1, "the host stalled");
    assert!(seen.len() > 1_000, "{}", seen.len());
    assert!(is_in_order(&seen, &told));
}

async fn finish(
    host: &UnixDatagram,
    outbox: &SharedOutbox<KeyboardReport>,
    seen: &mut Vec<[u8; 8]>,
) {
    loop {
        seen.extend(received(host));
        tokio::select! {
            () = outbox.drained() => break,
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    seen.extend(received(host));
}

#[test]
fn the_judge_of_order_can_tell() {
    let report = |n| [n, 0, 0, 0, 0, 0, 0, 0];
    let told = [1, 2, 3].map(report);
    assert!(is_in_order(&[1, 1, 3].map(report), &told));
    assert!(!is_in_order(&[2, 1].map(report), &told));
    assert!(!is_in_order(&[4].map(report), &told));
}

#[tokio::test]
async fn the_hosts_lights_come_back() {
    let (host, device) = pair();
    let side = HostSide {
        leds: watch::Sender::new(None),
    };
    let mut leds = side.leds.subscribe();
    let outbox = SharedOutbox::<KeyboardReport>::default();
    host.send(&[0b10]).unwrap();
    tokio::select! {
        _ = serve_open(&device, &outbox, Some(&side)) => unreachable!("the host is there"),
        _ = leds.changed() => {}
    }
    let caps = Leds {
        caps: true,
        ..Leds::default()
    };
    assert_eq!(*leds.borrow(), Some(caps));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_goes_quiet_lets_its_keys_go() {
    let input = crate::Input::default();
    let key: Key = "KeyA".parse().unwrap();
    let nodes = crate::input::Nodes {
        keyboard: "/nowhere/0".into(),
        absolute: "/nowhere/1".into(),
        relative: "/nowhere/2".into(),
    };
    let test = async {
        input.key(Viewer(1), key, true);
        for _ in 0..10 {
            tokio::time::sleep(crate::input::LEASE / 2).await;
            input.renew(Viewer(1));
        }
        assert_eq!(input.keys_down(), [key], "it gave signs of life");
        tokio::time::sleep(crate::input::LEASE * 11 / 10).await;
        assert!(input.keys_down().is_empty(), "it went quiet");
    };
    tokio::select! {
        () = input.serve(&nodes) => {}
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_paste_types_its_strokes_and_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    // A pseudo-endpoint: the paste waits until its reports were taken.
    let file = folder.path().join("hidg0");
    File::create(&file).unwrap();
    let nodes = crate::input::Nodes {
        keyboard: file.clone(),
        absolute: "/nowhere/1".into(),
        relative: "/nowhere/2".into(),
    };
    let input = crate::Input::default();
    let plan = Plan::new("aB", &Layout::named("us").unwrap());
    let (cancel, cancelled) = watch::channel(false);
    let paste = |cancel: &watch::Receiver<bool>| Paste {
        cancel: cancel.clone(),
        typed: watch::Sender::new(0),
        pause: Duration::ZERO,
    };
    // A regular file cannot be waited for, so nothing is ever taken from it.
    let gone = tokio::select! {
        () = input.serve(&nodes) => unreachable!("it serves for ever"),
        ended = paste(&cancelled).run(&input, Viewer(9), &plan.strokes) => ended,
    };
    assert_eq!(gone, Ended::HostGone);
    assert!(input.keys_down().is_empty());
    cancel.send_replace(true);
    let ended = paste(&cancelled)
        .run(&input, Viewer(9), &plan.strokes)
        .await;
    assert_eq!(ended, Ended::Cancelled);
}
