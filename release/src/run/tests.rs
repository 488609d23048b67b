//! Releases played from end to end. Past 500 lines because one of them is told whole.

use super::*;

use jiff::SignedDuration;

use crate::journal::{Event, SCHEMA, What};

/// Two people for every role; Olga decides, Rita gathers.
const PEOPLE: &[(&str, &[&str])] = &[
    ("dan", &["developer"]),
    ("dora", &["developer"]),
    ("sam", &["support-engineer"]),
    ("sue", &["support-engineer"]),
    ("carl", &["customer-service"]),
    ("cora", &["customer-service"]),
    ("olga", &["product-owner"]),
    ("otto", &["product-owner"]),
    ("rita", &["release-manager"]),
    ("ron", &["release-manager"]),
    ("mia", &["marketing", "operations"]),
    ("max", &["marketing", "operations"]),
];

pub(super) fn template() -> Template {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("template");
    crate::built_in::copy_to(&folder).unwrap();
    let person = |(name, roles): &(&str, &[&str])| format!("[people.{name}]\nroles = {roles:?}\n");
    let people: String = PEOPLE.iter().map(person).collect();
    fs_err::write(folder.join("people.toml"), people).unwrap();
    Template::load(&folder).unwrap()
}

pub(super) fn digest(name: &str) -> Sha256Digest {
    Sha256Digest::of(name)
}

pub(super) struct Play<'t> {
    pub(super) run: Run<'t>,
    pub(super) now: Timestamp,
}

impl<'t> Play<'t> {
    fn start(template: &'t Template) -> Self {
        let mut play = Self {
            run: Run::replay(template, []),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let (kind, template) = (RunKind::Feature, template.digest);
        play.does("rita", What::RunStarted { kind, template });
        play
    }

    pub(super) fn tries(&mut self, actor: &str, what: What) -> Result<(), Refusal> {
        let event = event(actor, self.now, what);
        self.run.apply(&event)
    }

    pub(super) fn does(&mut self, actor: &str, what: What) {
        self.now += SignedDuration::from_mins(5);
        let told = format!("{actor}: {what:?}");
        if let Err(refusal) = self.tries(actor, what) {
            panic!("{told}: {refusal}");
        }
    }

    fn later(&mut self, hours: i64) {
        self.now += SignedDuration::from_hours(hours);
    }

    fn now_for(&self) -> Option<Sha256Digest> {
        self.run.candidate().map(|candidate| candidate.digest)
    }

    fn candidate(&mut self, label: &str, facts: &[&str]) {
        self.does("dan", candidate(label, facts));
    }

    fn done(&mut self, actor: &str, step: &str) {
        let what = done(step, self.now_for());
        self.does(actor, what);
    }

    fn command(&mut self, actor: &str, step: &str) {
        let (step, candidate) = (step.to_owned(), self.now_for());
        self.does(
            actor,
            What::AttemptStarted {
                step: step.clone(),
                candidate,
            },
        );
        let what = finished(&step, candidate, Outcome::Done);
        self.does(actor, what);
    }

    fn tested(&mut self) {
        for step in ["test-product", "test-update", "test-diy"] {
            self.does("carl", evidence(step, self.now_for().unwrap(), step));
            self.done("carl", step);
        }
    }

    fn review(&mut self, actor: &str, approves: bool) {
        let what = review(
            self.now_for().unwrap(),
            &["test-product", "test-update", "test-diy"],
            approves,
        );
        self.does(actor, what);
    }

    pub(super) fn status(&self, step: &str) -> Status {
        let step = self.run.template().step(step).unwrap();
        self.run.status(step, self.now)
    }

    fn mine(&self, person: &str) -> Vec<String> {
        self.run
            .next_for(person, self.now)
            .into_iter()
            .map(|mine| mine.step)
            .collect()
    }

    /// Everything up to the decision.
    fn up_to_decision(&mut self, label: &str) {
        self.candidate(label, &[]);
        self.command("dan", "draft-changelog");
        if !self.status("draft-announcement").is_settled() {
            self.done("mia", "draft-announcement");
        }
        self.done("sam", "update-test-plan");
        self.tested();
        self.command("dora", "run-end-to-end");
        self.review("sam", true);
        self.review("dora", true);
    }

    fn go(&mut self) {
        let what = decision(self.now_for().unwrap(), Verdict::Go, &[], "");
        self.does("olga", what);
    }
}

pub(super) fn event(actor: &str, time: Timestamp, what: What) -> Event {
    Event {
        schema: SCHEMA,
        run: "1.0.0".into(),
        id: String::new(),
        time,
        actor: actor.into(),
        via: None,
        after: Vec::new(),
        what,
    }
}

pub(super) fn candidate(label: &str, facts: &[&str]) -> What {
    What::CandidateAdded {
        candidate: digest(label),
        label: label.into(),
        image: digest(&format!("{label} image")),
        facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
        owners: Vec::new(),
    }
}

pub(super) fn done(step: &str, candidate: Option<Sha256Digest>) -> What {
    let (step, note) = (step.into(), String::new());
    What::StepDone {
        step,
        candidate,
        note,
    }
}

pub(super) fn finished(step: &str, candidate: Option<Sha256Digest>, outcome: Outcome) -> What {
    let (step, note) = (step.into(), String::new());
    What::AttemptFinished {
        step,
        candidate,
        outcome,
        note,
    }
}

pub(super) fn evidence(step: &str, candidate: Sha256Digest, name: &str) -> What {
    What::EvidenceAdded {
        step: step.into(),
        candidate,
        file: EvidenceFile {
            sha256: digest(name),
            size: 1,
            name: name.into(),
            media_type: "video/mp4".into(),
            seconds: Some(60),
            serial: None,
        },
    }
}

pub(super) fn review(candidate: Sha256Digest, seen: &[&str], approves: bool) -> What {
    What::ReviewGiven {
        step: "review-results".into(),
        candidate,
        evidence: seen.iter().map(|name| digest(name)).collect(),
        approves,
        note: String::new(),
    }
}

pub(super) fn decision(
    candidate: Sha256Digest,
    verdict: Verdict,
    findings: &[(&str, Disposition)],
    reason: &str,
) -> What {
    What::DecisionMade {
        step: "decide".into(),
        candidate,
        verdict,
        findings: findings
            .iter()
            .map(|(name, what)| ((*name).to_owned(), *what))
            .collect(),
        reason: reason.into(),
    }
}

pub(super) fn finding(name: &str) -> What {
    What::FindingAdded {
        finding: name.into(),
        title: "the picture flickers".into(),
        at: None,
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one release, from its first day to its last"
)]
fn a_whole_release_with_a_no_in_the_middle() {
    let template = template();
    let mut play = Play::start(&template);
    assert_eq!(play.mine("dan"), ["build-candidate"]);
    play.up_to_decision("rc1");
    assert_eq!(play.status("draft-advisories"), Status::NotApplicable);

    // A finding: four questions, one unknown; the product owner says no.
    play.does("sue", finding("flicker"));
    for (actor, question, answer) in [
        ("sam", "user-impact", Some("everybody with HDMI")),
        ("dan", "time-to-fix", Some("an hour")),
        ("carl", "cost-to-retest", None),
        ("dora", "risk-of-fix", Some("little")),
    ] {
        let what = What::InputGiven {
            finding: "flicker".into(),
            question: question.into(),
            answer: answer.map(str::to_owned),
        };
        play.does(actor, what);
    }
    let fix = [("flicker", Disposition::FixNow)];
    let go = decision(digest("rc1"), Verdict::Go, &fix, "");
    assert!(matches!(
        play.tries("olga", go),
        Err(Refusal::Finding { .. })
    ));
    play.does(
        "olga",
        decision(digest("rc1"), Verdict::NoGo, &fix, "users would see it"),
    );
    assert_eq!(
        play.status("publish-changelog"),
        Status::Blocked {
            by: vec!["decide".into()]
        }
    );

    // The second candidate: proof is stale, but for what carries over; one test is confirmed.
    play.candidate("rc2", &["has-security-fix"]);
    assert_eq!(
        play.status("test-product"),
        Status::Blocked {
            by: vec!["update-test-plan".into()]
        }
    );
    assert_eq!(play.status("draft-announcement"), Status::Done);
    assert!(
        matches!(play.status("update-test-plan"), Status::Stale { was_for } if was_for == "rc1")
    );
    let confirm = |reason: &str, step: &str| What::StepConfirmed {
        step: step.into(),
        candidate: digest("rc2"),
        reason: reason.into(),
    };
    assert_eq!(
        play.tries("sam", confirm("", "update-test-plan")),
        Err(Refusal::Reason)
    );
    play.does("sam", confirm("nothing of it changed", "update-test-plan"));
    play.does(
        "carl",
        confirm("only the video code changed", "test-update"),
    );
    for step in ["test-product", "test-diy"] {
        play.does(
            "carl",
            evidence(step, digest("rc2"), &format!("{step} again")),
        );
        play.done("carl", step);
    }
    play.command("dan", "run-end-to-end");
    play.command("dan", "draft-changelog");
    play.done("dan", "draft-advisories");
    assert!(matches!(
        play.tries("sam", review(digest("rc2"), &["test-product again"], true)),
        Err(Refusal::NotLookedAt { missing: 2 })
    ));
    let seen = ["test-product again", "test-update", "test-diy again"];
    play.does("sam", review(digest("rc2"), &seen, false));
    play.does("dora", review(digest("rc2"), &seen, true));
    assert!(
        !play.status("review-results").is_settled(),
        "Sam's last word is no"
    );
    play.does("sam", review(digest("rc2"), &seen, true));
    let fixed = [("flicker", Disposition::Fixed)];
    let go = |reason| decision(digest("rc2"), Verdict::Go, &fixed, reason);
    assert_eq!(
        play.tries("olga", go("")),
        Err(Refusal::Reason),
        "one answer is unknown"
    );
    play.does("olga", go("the retest is done already"));
    assert_eq!(
        play.run.steps["decide"].decisions[1].unknown,
        ["flicker/cost-to-retest"]
    );

    // Publishing: a crash in the middle is probed, not run again.
    play.command("dan", "publish-changelog");
    let (step, candidate) = ("publish-release".to_owned(), Some(digest("rc2")));
    play.does(
        "dan",
        What::AttemptStarted {
            step: step.clone(),
            candidate,
        },
    );
    assert_eq!(play.status("publish-release"), Status::Interrupted);
    let again = What::AttemptStarted { step, candidate };
    assert!(matches!(
        play.tries("dora", again.clone()),
        Err(Refusal::Attempt { .. })
    ));
    play.does(
        "dora",
        finished("publish-release", candidate, Outcome::Failed),
    );
    play.does("dora", again.clone());
    play.does(
        "dora",
        finished("publish-release", candidate, Outcome::Done),
    );
    assert!(matches!(
        play.tries("dora", again),
        Err(Refusal::Settled { .. })
    ));
    assert_eq!(
        play.tries("dan", super::tests::candidate("rc3", &[])),
        Err(Refusal::PastReturn)
    );
    let reason = "too late".to_owned();
    assert_eq!(
        play.tries("olga", What::Aborted { reason }),
        Err(Refusal::PastReturn)
    );

    play.does(
        "sam",
        evidence("verify-updates", digest("rc2"), "update film"),
    );
    play.done("sam", "verify-updates");
    play.command("dan", "check-hashes");
    play.command("dan", "publish-advisories");
    play.command("rita", "tell-team");

    // 48 hours with three looks.
    assert!(matches!(play.status("watch"), Status::Waiting { due, .. } if due.is_empty()));
    play.later(5);
    assert!(matches!(play.status("watch"), Status::Waiting { due, .. } if due == [4]));
    assert_eq!(play.mine("sam"), ["watch"]);
    let look = || What::CheckedIn {
        step: "watch".into(),
        reports: 1,
        note: "an old cable".into(),
    };
    play.does("sam", look());
    play.later(20);
    play.does("sue", look());
    assert!(matches!(
        play.tries("sam", done("watch", candidate)),
        Err(Refusal::Waiting { .. })
    ));
    let more = What::WaitExtended {
        step: "watch".into(),
        hours: 24,
        reason: "a weekend".into(),
    };
    play.does("sue", more);
    play.later(24);
    play.does("sam", look());
    assert!(matches!(
        play.tries("sam", done("watch", candidate)),
        Err(Refusal::Waiting { .. })
    ));
    play.later(24);
    play.done("sam", "watch");

    // The distributor answers wrong, then right.
    for step in ["hand-to-distributor", "hand-to-manufacturer"] {
        let answer = |image| What::HandoffAnswered {
            step: step.into(),
            candidate: digest("rc2"),
            image,
            note: String::new(),
        };
        play.does("mia", answer(digest("something else")));
        assert!(!play.status(step).is_settled());
        play.does("mia", answer(digest("rc2 image")));
        assert_eq!(play.status(step), Status::Done);
    }
    play.command("dan", "publish-community");
    play.command("mia", "publish-blog");
    play.command("sam", "update-links");
    play.command("mia", "mail-list");
    assert!(
        matches!(play.tries("rita", What::Closed {}), Err(Refusal::Open { by }) if by == ["post-social"])
    );
    play.done("max", "post-social");
    play.does(
        "carl",
        What::RetroNoted {
            note: "film in landscape".into(),
        },
    );
    play.does("rita", What::Closed {});
    assert_eq!(play.tries("rita", What::Closed {}), Err(Refusal::Over));
    assert_eq!(play.run.end, Some(End::Closed));
    assert!(play.mine("dan").is_empty());
}

#[test]
fn only_the_right_people_do_what_counts() {
    let template = template();
    let mut play = Play::start(&template);
    play.up_to_decision("rc1");
    let now = digest("rc1");
    for actor in ["rita", "dan", "carl", "mia"] {
        let what = decision(now, Verdict::Go, &[], "because");
        assert!(
            matches!(play.tries(actor, what), Err(Refusal::Role { .. })),
            "{actor}"
        );
    }
    assert!(matches!(
        play.tries("mallory", finding("x")),
        Err(Refusal::Unknown { .. })
    ));
    let waive = What::StepWaived {
        step: "draft-announcement".into(),
        reason: "no time".into(),
    };
    assert!(matches!(
        play.tries("mia", waive),
        Err(Refusal::Role { .. })
    ));
    let decide = What::StepWaived {
        step: "decide".into(),
        reason: "no time".into(),
    };
    assert!(matches!(
        play.tries("olga", decide),
        Err(Refusal::Step { .. })
    ));
    // A finding after the decision opens it again.
    play.go();
    assert_eq!(play.status("decide"), Status::Done);
    play.does("carl", finding("late"));
    assert_eq!(play.status("decide"), Status::Ready);
    assert!(matches!(
        play.status("publish-changelog"),
        Status::Blocked { .. }
    ));
}

#[test]
fn who_did_a_test_does_not_review_it() {
    let mut template = template();
    let both = ["customer-service", "support-engineer"].map(str::to_owned);
    template.people.people.get_mut("carl").unwrap().roles = both.into();
    let mut play = Play::start(&template);
    play.candidate("rc1", &[]);
    play.done("sam", "update-test-plan");
    play.tested();
    play.command("dora", "run-end-to-end");
    let what = review(
        digest("rc1"),
        &["test-product", "test-update", "test-diy"],
        true,
    );
    assert!(matches!(
        play.tries("carl", what),
        Err(Refusal::OwnWork { .. })
    ));
    play.review("sam", true);
    assert!(
        !play.status("review-results").is_settled(),
        "a developer must look too"
    );
    play.review("dan", true);
    assert_eq!(play.status("review-results"), Status::Done);
}

#[test]
fn the_first_claim_wins() {
    let template = template();
    let mut play = Play::start(&template);
    play.candidate("rc1", &[]);
    let step = || "update-test-plan".to_owned();
    play.does("sam", What::StepClaimed { step: step() });
    let refused = play.tries("sue", What::StepClaimed { step: step() });
    assert!(matches!(refused, Err(Refusal::Claimed { by, .. }) if by == "sam"));
    assert!(play.mine("sue").is_empty());
    play.does("sam", What::StepReleased { step: step() });
    play.does("sue", What::StepClaimed { step: step() });
    play.done("sue", "update-test-plan");
}

#[test]
fn owners_of_what_changed_must_approve_and_a_waiver_is_for_one_candidate() {
    let template = template();
    let mut play = Play::start(&template);
    let owned = |label: &str| match candidate(label, &[]) {
        What::CandidateAdded {
            candidate,
            label,
            image,
            facts,
            ..
        } => What::CandidateAdded {
            candidate,
            label,
            image,
            facts,
            owners: vec!["mia".into()],
        },
        other => other,
    };
    play.does("dan", owned("rc1"));
    play.done("sam", "update-test-plan");
    play.tested();
    let reason = "the bench is being moved".to_owned();
    let step = "run-end-to-end".to_owned();
    play.does("olga", What::StepWaived { step, reason });
    play.review("sam", true);
    play.review("dora", true);
    assert_eq!(
        play.status("review-results"),
        Status::Ready,
        "mia's word is missing"
    );
    // She has no role of the review, but what changed is hers.
    assert!(play.mine("mia").contains(&"review-results".to_owned()));
    assert!(
        !play.mine("sam").contains(&"review-results".to_owned()),
        "he said his word"
    );
    play.review("mia", true);
    assert_eq!(play.status("review-results"), Status::Done);

    play.does("dan", owned("rc2"));
    let was_for = "rc1".to_owned();
    assert_eq!(play.status("run-end-to-end"), Status::Stale { was_for });
    let (step, candidate) = ("run-end-to-end".to_owned(), play.now_for().unwrap());
    let reason = "still moving".to_owned();
    let confirm = What::StepConfirmed {
        step,
        candidate,
        reason,
    };
    assert!(
        play.tries("dan", confirm).is_err(),
        "what was not done cannot hold"
    );
}

#[test]
fn what_is_taken_back_is_open_again_but_not_under_others() {
    let template = template();
    let mut play = Play::start(&template);
    play.candidate("rc1", &[]);
    play.command("dan", "draft-changelog");
    let undone = || What::StepUndone {
        step: "draft-changelog".into(),
        note: "a fragment is wrong".into(),
    };
    play.does("dora", undone());
    assert_eq!(play.status("draft-changelog"), Status::Ready);
    play.command("dan", "draft-changelog");
    play.done("mia", "draft-announcement");
    assert!(matches!(
        play.tries("dan", undone()),
        Err(Refusal::Followed { .. })
    ));
    let step = "publish-release".to_owned();
    let note = "regret".to_owned();
    assert_eq!(
        play.tries("dan", What::StepUndone { step, note }),
        Err(Refusal::PastReturn)
    );
}

#[test]
fn a_yank_opens_the_changelog_again() {
    let template = template();
    let mut play = Play::start(&template);
    play.up_to_decision("rc1");
    play.go();
    play.command("dan", "publish-changelog");
    play.command("dan", "publish-release");
    let reason = "it does not boot".to_owned();
    play.does("olga", What::Yanked { reason });
    assert_eq!(play.status("publish-changelog"), Status::Ready);
    play.command("dan", "publish-changelog");
    play.does("rita", What::Closed {});
}
