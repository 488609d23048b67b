//! How long a key takes from the call that presses it to the report that is written: a socket stands
//! for the gadget's endpoint, and the other end fetches as a host does.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use agent_input::endpoint::{SharedOutbox, serve_open};
use agent_input::key::Key;
use agent_input::report::KeyboardReport;

const PRESSES: u32 = 10_000;

#[expect(clippy::print_stdout, reason = "what the bench is for")]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let (host, device) = UnixDatagram::pair()?;
    device.set_nonblocking(true)?;
    let file = agent_sys::watched::watch(File::from(OwnedFd::from(device)))?;
    let outbox = std::sync::Arc::new(SharedOutbox::<KeyboardReport>::default());
    tokio::spawn({
        let outbox = std::sync::Arc::clone(&outbox);
        async move { serve_open(&file, &outbox, None).await }
    });
    let (arrived, arrivals) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut report = [0; 8];
        while host.recv(&mut report).is_ok() && arrived.send(Instant::now()).is_ok() {}
    });
    let key: Key = "KeyA".parse().expect("a key");
    let mut took = Vec::new();
    for number in 0..PRESSES {
        let keys = (number % 2 == 0).then_some(key);
        let pressed = Instant::now();
        outbox.push(KeyboardReport::of(keys));
        let written = tokio::task::block_in_place(|| arrivals.recv()).expect("the host fetches");
        took.push(written.saturating_duration_since(pressed));
        // As fast as nobody types, and slow enough that threads go to sleep in between.
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    took.sort_unstable();
    let rank = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among some thousands"
        )]
        let at = (f64::from(PRESSES - 1) * share) as usize;
        took[at].as_micros()
    };
    println!(
        "{PRESSES} key events: p50 {} µs, p99 {} µs, p99.9 {} µs, longest {} µs",
        rank(0.5),
        rank(0.99),
        rank(0.999),
        rank(1.0)
    );
    Ok(())
}
