use super::*;

use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};

const RUN: &str = "2.7.0";

struct Team {
    folder: tempfile::TempDir,
    keys: Vec<(&'static str, KeyFile)>,
    signers: AllowedSigners,
}

impl Team {
    fn new() -> Self {
        let mut signers = AllowedSigners::default();
        let names = ["alice", "bob", "server"];
        let keys = names.into_iter().zip(1_u8..).map(|(name, seed)| {
            let pair = Ed25519Keypair::from_seed(&[seed; 32]);
            let key = KeyFile::from(PrivateKey::from(pair));
            if name == "server" {
                signers.add_server(name, &key.public()).unwrap();
            } else {
                signers.add(name, &key.public()).unwrap();
            }
            (name, key)
        });
        let keys = keys.collect();
        Self {
            folder: tempfile::tempdir().unwrap(),
            keys,
            signers,
        }
    }

    fn journal(&self) -> Journal {
        Journal::new(self.folder.path(), RUN)
    }

    fn key(&self, name: &str) -> &KeyFile {
        &self
            .keys
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
    }

    fn add(&self, journal: &Journal, actor: &str, second: i64, note: &str) -> Event {
        let seen = journal.verify(&self.signers).unwrap_or_default();
        let author = Author { actor, via: None };
        let what = What::RetroNoted { note: note.into() };
        let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
        journal
            .append(&author, self.key(actor), &seen, time, RUN, what)
            .unwrap()
            .0
    }

    fn notes(&self, journal: &Journal) -> Vec<String> {
        let verified = journal.verify(&self.signers).unwrap();
        assert!(verified.problems().is_empty(), "{:?}", verified.problems());
        let note = |event: &VerifiedEvent| match &event.event().what {
            What::RetroNoted { note } => note.clone(),
            other => panic!("{other:?}"),
        };
        verified.events().iter().map(note).collect()
    }

    fn troubles(&self, journal: &Journal) -> Vec<String> {
        let verified = journal.verify(&self.signers).unwrap();
        verified
            .problems()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn file_of(journal: &Journal, event: &Event) -> PathBuf {
    journal
        .events()
        .join(format!("{}-{}.json", event.id, event.actor))
}

#[test]
fn events_come_back_in_the_order_of_their_links_whatever_the_clocks_say() {
    let team = Team::new();
    let journal = team.journal();
    // Within the tolerance, so without a word.
    for (number, second) in [0, 200, 100, 50].into_iter().enumerate() {
        let actor = if number % 2 == 0 { "alice" } else { "bob" };
        team.add(&journal, actor, second, &number.to_string());
    }
    assert_eq!(team.notes(&journal), ["0", "1", "2", "3"]);
    team.add(&journal, "bob", -86_400, "yesterday");
    let troubles = team.troubles(&journal);
    assert_eq!(troubles.len(), 1);
    assert!(
        troubles[0].contains("the clock of bob is off"),
        "{troubles:?}"
    );
    assert_eq!(journal.verify(&team.signers).unwrap().events().len(), 5);
}

#[test]
fn work_of_two_people_offline_merges_the_same_both_ways() {
    let team = Team::new();
    let journal = team.journal();
    team.add(&journal, "alice", 0, "together");
    let other = Journal::new(&team.folder.path().join("other"), RUN);
    copy_events(&journal, &other);
    team.add(&journal, "alice", 1, "a1");
    team.add(&journal, "alice", 4, "a2");
    team.add(&other, "bob", 2, "b1");
    team.add(&other, "bob", 3, "b2");
    copy_events(&journal, &other);
    copy_events(&other, &journal);
    assert_eq!(team.notes(&journal), team.notes(&other));
    assert_eq!(team.notes(&journal), ["together", "a1", "b1", "b2", "a2"]);
    let seen = journal.verify(&team.signers).unwrap();
    assert_eq!(seen.heads().len(), 2);
    team.add(&journal, "bob", 9, "both");
    assert_eq!(journal.verify(&team.signers).unwrap().heads().len(), 1);
}

fn copy_events(from: &Journal, to: &Journal) {
    fs_err::create_dir_all(from.events()).unwrap();
    fs_err::create_dir_all(to.events()).unwrap();
    for entry in fs_err::read_dir(from.events()).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), to.events().join(entry.file_name())).unwrap();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Two people write and exchange as it comes; in the end both have everything, in one order.
    #[test]
    fn any_interleaving_merges_to_one_order(
        steps in proptest::collection::vec((0..4_u8, 0..200_i64), 1..30)
    ) {
        let team = Team::new();
        let (here, there) = (team.journal(), Journal::new(&team.folder.path().join("other"), RUN));
        let mut written = 0;
        for (number, (step, second)) in steps.into_iter().enumerate() {
            let note = number.to_string();
            match step {
                0 => drop(team.add(&here, "alice", second, &note)),
                1 => drop(team.add(&there, "bob", second, &note)),
                2 => copy_events(&here, &there),
                _ => copy_events(&there, &here),
            }
            written += usize::from(step < 2);
        }
        copy_events(&here, &there);
        copy_events(&there, &here);
        let order = team.notes(&here);
        proptest::prop_assert_eq!(&order, &team.notes(&there));
        proptest::prop_assert_eq!(order.len(), written);
        // Nobody's event comes before one that they had seen.
        let verified = here.verify(&team.signers).unwrap();
        let mut known = std::collections::BTreeSet::new();
        for event in verified.events() {
            proptest::prop_assert!(event.event().after.iter().all(|seen| known.contains(seen)));
            known.insert(event.digest());
        }
    }
}

#[test]
fn a_deleted_event_is_missed() {
    let team = Team::new();
    let journal = team.journal();
    let events: Vec<Event> = (0..4)
        .map(|n| team.add(&journal, "alice", n, &n.to_string()))
        .collect();
    fs_err::remove_file(file_of(&journal, &events[1])).unwrap();
    let troubles = team.troubles(&journal);
    assert!(troubles[0].contains(&format!("comes after event {}", digest(&events[1]))));
    assert!(troubles[0].contains("which is not there"), "{troubles:?}");
    assert!(troubles[1].contains("which was refused"), "{troubles:?}");
    assert_eq!(journal.verify(&team.signers).unwrap().events().len(), 1);
}

#[test]
fn a_changed_forged_renamed_or_broken_event_is_named() {
    let team = Team::new();
    let journal = team.journal();
    team.add(&journal, "alice", 0, "first");
    let event = team.add(&journal, "alice", 1, "second");
    let path = file_of(&journal, &event);
    let whole = fs_err::read_to_string(&path).unwrap();
    let refused = |text: &str, part: &str| {
        fs_err::write(&path, text).unwrap();
        let troubles = team.troubles(&journal);
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert!(
            troubles[0].contains(part),
            "“{part}” is not in {troubles:?}"
        );
        assert!(troubles[0].contains(path.to_str().unwrap()), "{troubles:?}");
        assert_eq!(journal.verify(&team.signers).unwrap().events().len(), 1);
    };
    refused(&whole.replace("second", "changed"), "changed after signing");
    refused(&whole[..whole.len() / 2], "this is no event");
    refused("", "line 1, column 0");
    refused(
        &whole.replace("\"schema\":1", "\"schema\":2"),
        "reads schema 1",
    );
    refused(&whole.replace("\"note\"", "\"colour\""), "this is no event");
    // Bob's signature under Alice's name, and one of nobody.
    let forged = team
        .key("bob")
        .sign(NAMESPACE, &verified::canonical(&event))
        .unwrap();
    let forge = |signature: &str| {
        let event = serde_json::to_value(&event).unwrap();
        serde_json::json!({ "event": event, "signature": signature }).to_string()
    };
    refused(&forge(&forged), "which is no key of alice");
    refused(&forge("no signature"), "this is no SSH signature");
    refused(
        &whole.replace("\"actor\":\"alice\"", "\"actor\":\"mallory\""),
        "belongs into",
    );
    fs_err::write(&path, &whole).unwrap();
    let copy = path.with_file_name("01AAAAAAAAAAAAAAAAAAAAAAAA-alice.json");
    fs_err::copy(&path, &copy).unwrap();
    assert!(team.troubles(&journal)[0].contains("renamed or copied"));
    fs_err::remove_file(copy).unwrap();
    assert!(team.troubles(&journal).is_empty());
}

#[test]
fn an_event_of_another_release_is_refused() {
    let team = Team::new();
    let (journal, other) = (team.journal(), Journal::new(team.folder.path(), "2.8.0"));
    team.add(&journal, "alice", 0, "here");
    let seen = Verified::default();
    let author = Author {
        actor: "bob",
        via: Some("server"),
    };
    let what = What::Closed {};
    let time = Timestamp::from_second(1_700_000_001).unwrap();
    let (event, _) = other
        .append(&author, team.key("server"), &seen, time, "2.8.0", what)
        .unwrap();
    assert!(team.troubles(&other).is_empty());
    fs_err::copy(file_of(&other, &event), file_of(&journal, &event)).unwrap();
    assert!(team.troubles(&journal)[0].contains("of release 2.8.0, not 2.7.0"));
}

#[test]
fn an_event_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.json");
    write_new(&path, b"first").unwrap();
    assert!(write_new(&path, b"second").is_err());
    assert_eq!(fs_err::read(&path).unwrap(), b"first");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
}

/// OpenSSH itself agrees, in both directions.
#[test]
fn openssh_reads_ours_and_we_read_openssh() {
    let team = Team::new();
    let folder = team.folder.path();
    let alice = team.key("alice");
    let path = folder.join("id_ed25519");
    PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]))
        .write_openssh_file(&path, LineEnding::LF)
        .unwrap();
    let by_keygen = SshKeygen { key: path }.sign(NAMESPACE, b"event").unwrap();
    team.signers
        .verify("alice", NAMESPACE, b"event", &by_keygen)
        .unwrap();
    assert!(
        team.signers
            .verify("alice", NAMESPACE, b"other", &by_keygen)
            .is_err()
    );

    fs_err::write(
        folder.join("signature"),
        alice.sign(NAMESPACE, b"event").unwrap(),
    )
    .unwrap();
    fs_err::write(
        folder.join("allowed"),
        format!("alice {}\n", alice.public()),
    )
    .unwrap();
    fs_err::write(folder.join("message"), b"event").unwrap();
    let script = format!(
        "cd '{}' && ssh-keygen -Y verify -f allowed -I alice -n {NAMESPACE} -s signature <message",
        folder.display()
    );
    #[expect(clippy::disallowed_methods, reason = "the judge is a program")]
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn nobody_but_a_server_writes_for_somebody_else() {
    let team = Team::new();
    let journal = team.journal();
    let author = Author {
        actor: "alice",
        via: Some("bob"),
    };
    let seen = Verified::default();
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    let what = What::RetroNoted {
        note: "bob says that alice said so".into(),
    };
    journal
        .append(&author, team.key("bob"), &seen, time, RUN, what)
        .unwrap();
    let verified = journal.verify(&team.signers).unwrap();
    assert!(verified.events().is_empty());
    let problem = verified.problems()[0].to_string();
    assert!(
        problem.contains("bob wrote it for somebody else"),
        "{problem}"
    );
}
