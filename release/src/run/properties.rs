//! What no sequence of events may bring about.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::tests::{Play, candidate, decision, digest, done, evidence, finding, finished};
use super::{Attempt, Run, Status};
use crate::journal::{Disposition, Outcome, RunKind, Verdict, What};
use crate::template::{Effect, Kind, Template};

/// A short release with one person a role, so that chance gets far: `steps` are built, tested,
/// reviewed, decided on and published.
fn small_template() -> Template {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs_err::create_dir(path("steps")).unwrap();
    let roles = ["dev", "tester", "owner"];
    let role = |role: &str| {
        format!(
            "[roles.{role}]\ntitle = \"{role}\"\nmay-waive = {}\n",
            role == "owner"
        )
    };
    let release = "schema = 1\ndescription = \"small\"\n[budget]\nsteps = 9\ntouch-hours = 9\nirreversible = 9\n";
    let release = roles
        .iter()
        .fold(release.to_owned(), |text, name| text + &role(name));
    fs_err::write(path("release.toml"), release).unwrap();
    let person = |role: &str| format!("[people.{role}]\nroles = [\"{role}\"]\n");
    let people: String = roles.iter().map(|role| person(role)).collect();
    fs_err::write(path("people.toml"), people).unwrap();
    for (name, kind, role, more) in [
        (
            "build",
            "command",
            "dev",
            "action = { name = \"candidate\" }",
        ),
        (
            "test",
            "manual",
            "tester",
            "after = [\"build\"]\nevidence = 1",
        ),
        (
            "look",
            "review",
            "dev",
            "after = [\"test\"]\nreviews = [\"test\"]",
        ),
        ("decide", "decision", "owner", "after = [\"look\"]"),
        (
            "publish",
            "command",
            "dev",
            "after = [\"decide\"]\naction = { name = \"program\", run = [\"true\"], probe = [\"true\"] }\neffect = \"irreversible\"",
        ),
    ] {
        let text =
            format!("title = \"t\"\nkind = \"{kind}\"\nrole = \"{role}\"\nminutes = 1\n{more}\n");
        fs_err::write(path(&format!("steps/{name}.toml")), text).unwrap();
    }
    Template::load(folder.path()).unwrap()
}

/// Anything anybody might write, sensible or not.
fn anything() -> impl Strategy<Value = (&'static str, What)> {
    let step = prop::sample::select(vec!["build", "test", "look", "decide", "publish"]);
    let label = prop::sample::select(vec!["rc1", "rc1", "rc1", "rc1", "rc1", "rc1", "rc2"]);
    let what = (0..15_u8, step, label, any::<bool>()).prop_map(|(kind, step, label, yes)| {
        let (now, step) = (digest(label), step.to_owned());
        let reason = "because".to_owned();
        match kind {
            0 => candidate(label, &[]),
            1 => What::StepClaimed { step },
            2 => What::StepReleased { step },
            3 => done("test", Some(now)),
            4 => What::StepConfirmed {
                step,
                candidate: now,
                reason,
            },
            5 if yes => What::StepWaived { step, reason },
            6 => What::AttemptStarted {
                step: "publish".into(),
                candidate: Some(now),
            },
            7 | 8 => finished(
                "publish",
                Some(now),
                if yes { Outcome::Done } else { Outcome::Failed },
            ),
            9 => evidence("test", now, "film"),
            10 => What::ReviewGiven {
                step: "look".into(),
                candidate: now,
                evidence: vec![digest("film")],
                approves: yes,
                note: String::new(),
            },
            11 if yes => finding("f"),
            13 => What::RoleDelegated {
                role: if yes { "owner" } else { "dev" }.into(),
                to: "tester".into(),
                reason,
            },
            14 => What::StepUndone { step, note: reason },
            _ => {
                let verdict = if yes { Verdict::Go } else { Verdict::NoGo };
                decision(now, verdict, &[("f", Disposition::KnownIssue)], "because")
            }
        }
    });
    // Mostly the right person, so that chance gets far.
    let person = prop::sample::select(vec!["dev", "tester", "owner", "right", "right", "right"]);
    (person, what).prop_map(|(person, what)| {
        let right = match &what {
            What::DecisionMade { .. } | What::StepWaived { .. } => "owner",
            What::RoleDelegated { role, .. } if role == "owner" => "owner",
            What::StepDone { .. } | What::EvidenceAdded { .. } => "tester",
            _ => "dev",
        };
        (if person == "right" { right } else { person }, what)
    })
}

/// What must hold after every event. `deciders` are those whom the owner let decide, and the owner.
fn rules_hold(
    run: &Run<'_>,
    now: Timestamp,
    deciders: &BTreeSet<String>,
) -> Result<(), TestCaseError> {
    let candidate = run.candidate().map(|candidate| candidate.digest);
    for step in &run.template().steps {
        let state = &run.steps[&step.name];
        let done = |attempt: &&Attempt| attempt.outcome == Some(Outcome::Done);
        prop_assert!(
            state.attempts.iter().filter(done).count() <= 1,
            "{} ran twice",
            step.name
        );
        for decision in &state.decisions {
            prop_assert!(deciders.contains(&decision.by), "{} decided", decision.by);
        }
        let judged = matches!(step.written.kind, Kind::Review | Kind::Decision);
        if judged && run.status(step, now) == Status::Done {
            let proof = state.proof.as_ref().unwrap();
            prop_assert_eq!(
                proof.candidate,
                candidate,
                "{} is stale and counts",
                &step.name
            );
        }
        if step.written.effect == Effect::Irreversible && !state.attempts.is_empty() {
            let goes = run.steps["decide"]
                .decisions
                .iter()
                .filter(|d| d.verdict == Verdict::Go);
            let goes: Vec<_> = goes.map(|decision| Some(decision.candidate)).collect();
            let decided = state
                .attempts
                .iter()
                .all(|attempt| goes.contains(&attempt.candidate));
            prop_assert!(decided, "published without a decision");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_sequence_breaks_a_rule(events in prop::collection::vec(anything(), 1..300)) {
        let template = small_template();
        let mut play = Play {
            run: Run::replay(&template, []),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let (kind, digest) = (RunKind::Feature, template.digest);
        play.does("dev", What::RunStarted { kind, template: digest });
        let mut deciders = BTreeSet::from(["owner".to_owned()]);
        for (actor, what) in events {
            play.now += SignedDuration::from_mins(1);
            let before = play.run.clone();
            let delegates = match &what {
                What::RoleDelegated { role, to, .. } if role == "owner" => Some(to.clone()),
                _ => None,
            };
            if play.tries(actor, what).is_err() {
                // Refused events change nothing.
                prop_assert_eq!(&before.steps, &play.run.steps);
                prop_assert_eq!(&before.candidates, &play.run.candidates);
                prop_assert_eq!(&before.findings, &play.run.findings);
                prop_assert_eq!(&before.delegates, &play.run.delegates);
            } else if let Some(to) = delegates {
                prop_assert_eq!(actor, "owner", "only who has a role hands it on");
                deciders.insert(to);
            }
            rules_hold(&play.run, play.now, &deciders)?;
        }
    }
}

/// Chance does get to the end often enough for the test above to mean something.
#[test]
fn chance_publishes_now_and_then() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let template = small_template();
    let mut runner = TestRunner::deterministic();
    let mut published = 0;
    for _ in 0..200 {
        let events = prop::collection::vec(anything(), 300)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut play = Play {
            run: Run::replay(&template, []),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let (kind, digest) = (RunKind::Feature, template.digest);
        play.does(
            "dev",
            What::RunStarted {
                kind,
                template: digest,
            },
        );
        for (actor, what) in events {
            play.now += SignedDuration::from_mins(1);
            drop(play.tries(actor, what));
        }
        published += usize::from(play.status("publish") == Status::Done);
    }
    assert!(published >= 20, "{published} of 200");
}
