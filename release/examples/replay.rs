//! How long replay takes: 10,000 signed events are written, verified and replayed.
//! Run: `cargo run --release --package release --example replay`

#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::error::Error;
use std::time::Instant;

use jiff::Timestamp;
use release::journal::{Author, Journal, KeyFile, RunKind, Verified, What};
use release::run::Run;
use release::template::Template;
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

const EVENTS: i64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let template = folder.path().join("template");
    release::built_in::copy_to(&template)?;
    let key = KeyFile::from(PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32])));
    let people = format!(
        "[people.ann]\nroles = [\"developer\"]\nkeys = [\"{}\"]\n",
        key.public()
    );
    fs_err::write(template.join("people.toml"), people)?;
    let template = Template::load(&template)?;
    let journal = Journal::new(folder.path(), "1.0.0");
    let author = Author {
        actor: "ann",
        via: None,
    };
    // All after the first: that they are one after the other changes nothing for replay.
    let mut seen = Verified::default();
    for number in 0..EVENTS {
        let time = Timestamp::from_second(1_800_000_000 + number)?;
        let what = match (number, number % 5) {
            (0, _) => What::RunStarted {
                kind: RunKind::Feature,
                template: template.digest,
            },
            (_, 0 | 1) => What::FindingAdded {
                finding: format!("finding-{number}"),
                title: "something".into(),
                at: None,
            },
            (_, 2) => What::InputGiven {
                finding: format!("finding-{}", number - 1),
                question: "time-to-fix".into(),
                answer: Some("an hour".into()),
            },
            (_, 3) => What::StepClaimed {
                step: "build-candidate".into(),
            },
            _ => What::StepReleased {
                step: "build-candidate".into(),
            },
        };
        journal.append(&author, &key, &seen, time, "1.0.0", what)?;
        if number == 0 {
            seen = journal.verify(&template.signers())?;
        }
    }
    let started = Instant::now();
    let verified = journal.verify(&template.signers())?;
    println!(
        "reading and verifying {EVENTS} events: {:?}",
        started.elapsed()
    );
    let started = Instant::now();
    let run = Run::replay(&template, verified.events());
    println!("replaying {EVENTS} events: {:?}", started.elapsed());
    println!(
        "{} findings, {} ignored",
        run.findings.len(),
        run.ignored.len()
    );
    Ok(())
}
