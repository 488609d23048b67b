//! A release on the command line: people with keys of their own, over the real outputs of a build.

use std::path::{Path, PathBuf};
use std::process::Output;

use bakelite_tests::bakelite::{command, outputs, text, tool};

/// Who plays, with which roles. Two people for each role.
const PEOPLE: &[(&str, &[&str])] = &[
    ("dan", &["developer", "release-manager"]),
    ("dora", &["developer", "release-manager"]),
    ("sam", &["support-engineer", "marketing", "operations"]),
    ("sue", &["support-engineer", "marketing", "operations"]),
    ("carl", &["customer-service"]),
    ("cora", &["customer-service"]),
    ("olga", &["product-owner"]),
    ("otto", &["product-owner"]),
];

struct Team {
    folder: tempfile::TempDir,
}

fn make_key(path: &Path) {
    let path = path.to_str().unwrap();
    let (good, said) = tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path]);
    assert!(good, "{said}");
}

impl Team {
    /// A repository with the template that comes with bakelite, and keys for everybody.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let team = Self { folder };
        team.says("dan", &["init"]);
        let mut people = String::new();
        for (name, roles) in PEOPLE {
            let key = team.key(name);
            make_key(&key);
            let public = fs_err::read_to_string(key.with_extension("pub")).unwrap();
            people.push_str(&format!(
                "[people.{name}]\nroles = {roles:?}\nkeys = [{:?}]\n",
                public.trim()
            ));
        }
        fs_err::write(team.release().join("template/people.toml"), people).unwrap();
        team
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn release(&self) -> PathBuf {
        self.folder.path().join("release")
    }

    fn tries_in(&self, release: &Path, name: &str, words: &[&str]) -> Output {
        let key = self.key(name);
        let mut all = vec![
            "release",
            "--folder",
            release.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ];
        all.extend(words);
        command(&all).output().unwrap()
    }

    fn tries(&self, name: &str, words: &[&str]) -> Output {
        self.tries_in(&self.release(), name, words)
    }

    fn says(&self, name: &str, words: &[&str]) -> String {
        let output = self.tries(name, words);
        let said = text(&output);
        assert!(output.status.success(), "{name}: {words:?}: {said}");
        said
    }

    fn is_refused(&self, name: &str, words: &[&str], part: &str) {
        let output = self.tries(name, words);
        let said = text(&output);
        assert!(
            !output.status.success(),
            "{name}: {words:?} was accepted: {said}"
        );
        assert!(said.contains(part), "“{part}” is not in: {said}");
    }

    fn candidate(&self, name: &str, words: &[&str]) -> Output {
        let manifest = outputs("kvm").join("manifest.json");
        let mut all = vec!["candidate", "add", manifest.to_str().unwrap()];
        all.extend(words);
        self.tries(name, &all)
    }

    fn film(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        fs_err::write(&path, name).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one release, from its first day to its last"
)]
fn a_candidate_is_tested_reviewed_and_decided_on_by_the_right_people() {
    let team = Team::new();
    assert!(team.says("dan", &["lint"]).contains("25 steps"));
    team.is_refused("dan", &["status"], "no release was begun");
    team.says("dan", &["start", "0.1.0", "--kind", "feature"]);
    team.is_refused(
        "dan",
        &["start", "0.1.0", "--kind", "feature"],
        "was begun already",
    );
    assert!(team.says("dan", &["next"]).contains("build-candidate"));
    team.is_refused("carl", &["done", "test-product"], "test-product waits for");

    let output = team.candidate("carl", &[]);
    assert!(
        text(&output).contains("this is for developer"),
        "{}",
        text(&output)
    );
    let output = team.candidate("dan", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let output = team.candidate("dan", &["--label", "rc2"]);
    assert!(
        text(&output).contains("it was a candidate before"),
        "{}",
        text(&output)
    );

    team.says("sam", &["done", "update-test-plan"]);
    team.is_refused(
        "carl",
        &["done", "test-product"],
        "needs 1 pieces of evidence; there are 0",
    );
    for step in ["test-product", "test-update", "test-diy"] {
        let film = team.film(&format!("{step}.mp4"));
        team.says(
            "carl",
            &[
                "evidence",
                "add",
                step,
                &film,
                "--seconds",
                "60",
                "--serial",
                "10000000abc",
            ],
        );
        team.says("carl", &["done", step, "--note", "all sections"]);
    }
    team.is_refused(
        "dan",
        &["waive", "run-end-to-end", "--reason", ""],
        "this needs a reason",
    );
    team.says(
        "dan",
        &[
            "waive",
            "run-end-to-end",
            "--reason",
            "the bench is being moved",
        ],
    );
    let listed = team.says("sam", &["review", "review-results"]);
    assert!(listed.contains("test-diy.mp4 (video/mp4"), "{listed}");
    team.says(
        "sam",
        &["finding", "flicker", "the picture flickers at 1080p"],
    );
    team.says("sam", &["review", "review-results", "--approve"]);
    team.says("dora", &["review", "review-results", "--approve"]);

    for (name, question) in [
        ("sam", "user-impact"),
        ("dan", "time-to-fix"),
        ("carl", "cost-to-retest"),
    ] {
        team.says(name, &["input", "flicker", question, "little"]);
    }
    team.is_refused(
        "dora",
        &["input", "flicker", "user-impact", "none"],
        "this is for support-engineer",
    );
    team.says(
        "olga",
        &["waive", "draft-changelog", "--reason", "tried here without"],
    );
    team.says("sam", &["done", "draft-announcement"]);
    team.is_refused("dan", &["decide", "go"], "this is for product-owner");
    team.is_refused("olga", &["decide", "go"], "nothing was decided about it");
    let known = "flicker=known-issue";
    team.is_refused(
        "olga",
        &["decide", "go", "--finding", known],
        "this needs a reason",
    );
    team.is_refused(
        "olga",
        &[
            "decide",
            "go",
            "--finding",
            "flicker=fix-now",
            "--reason",
            "x",
        ],
        "cannot go",
    );
    team.says(
        "olga",
        &[
            "decide",
            "go",
            "--finding",
            known,
            "--reason",
            "the risk of a fix is unknown",
        ],
    );
    let status = team.says("olga", &["status"]);
    for part in [
        "✓ decide",
        "> publish-changelog",
        "- draft-advisories",
        "! flicker",
        "left out by dan",
    ] {
        assert!(status.contains(part), "“{part}” is not in: {status}");
    }
    assert!(
        team.says("otto", &["verify"])
            .contains("every signature and link holds")
    );
    let log = team.says("otto", &["log"]);
    assert!(
        log.contains("review-given review-results") && log.lines().count() > 15,
        "{log}"
    );
    team.is_refused("olga", &["close"], "steps are open");
    team.says("olga", &["abort", "--reason", "this was a rehearsal"]);
    team.says("carl", &["retro", "film in landscape"]);
    team.says("dan", &["close"]);
    team.is_refused("dan", &["retro", "too late"], "the release is over");
}

#[test]
fn files_that_are_not_those_of_the_manifest_are_no_candidate() {
    let team = Team::new();
    team.says("dan", &["start", "0.1.0", "--kind", "patch"]);
    let folder = team.folder.path().join("build");
    fs_err::create_dir(&folder).unwrap();
    for entry in fs_err::read_dir(outputs("kvm")).unwrap() {
        let path = entry.unwrap().path();
        fs_err::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    fs_err::write(folder.join("kvm-0.1.0.packages.tsv"), "other").unwrap();
    let manifest = folder.join("manifest.json");
    team.is_refused(
        "dan",
        &["candidate", "add", manifest.to_str().unwrap()],
        "kvm-0.1.0.packages.tsv: 5 bytes with SHA-256",
    );
    assert!(team.says("dan", &["status"]).contains("no candidate yet"));
}

#[test]
fn two_copies_of_the_journal_merge_and_a_tampered_event_is_found() {
    let team = Team::new();
    team.says("dan", &["start", "0.1.0", "--kind", "patch"]);
    let other = team.folder.path().join("other");
    let copy = |from: &Path, to: &Path| {
        fs_err::create_dir_all(to).unwrap();
        let from = format!("{}/.", from.display());
        let (good, said) = tool("cp", &["-rn", &from, to.to_str().unwrap()]);
        assert!(good, "{said}");
    };
    copy(&team.release(), &other);
    team.says("carl", &["finding", "one", "here"]);
    let output = team.tries_in(&other, "sam", &["finding", "two", "there"]);
    assert!(output.status.success(), "{}", text(&output));
    copy(&other, &team.release());
    copy(&team.release(), &other);
    let here = team.says("dan", &["status"]);
    let there = text(&team.tries_in(&other, "dan", &["status"]));
    assert_eq!(here, there);
    assert!(
        here.contains("! one: here (carl)") && here.contains("! two: there (sam)"),
        "{here}"
    );

    // Nobody's key, a changed event, and a truncated one.
    let stranger = team.key("stranger");
    make_key(&stranger);
    team.is_refused(
        "stranger",
        &["finding", "x", "y"],
        "nobody in people.toml has one of these keys",
    );
    let events = team.release().join("journal/runs/0.1.0/events");
    let carls = fs_err::read_dir(&events)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with("-carl.json"))
        .unwrap();
    let whole = fs_err::read_to_string(&carls).unwrap();
    fs_err::write(&carls, whole.replace("here", "gone")).unwrap();
    let output = team.tries("dan", &["verify"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output).contains("-carl.json: the signature of carl does not fit"),
        "{}",
        text(&output)
    );
    fs_err::write(&carls, &whole[..40]).unwrap();
    team.is_refused("dan", &["verify"], "-carl.json: line 1, column 40");
    fs_err::write(&carls, whole).unwrap();
    team.says("dan", &["verify"]);
}

#[test]
fn hashes_come_into_the_changelog_once_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let changelog = folder.path().join("CHANGELOG.md");
    fs_err::write(
        &changelog,
        "# Changelog\n\n## [0.1.0] - 2026-12-01\n\n- Tea.\n",
    )
    .unwrap();
    let manifest = outputs("kvm").join("manifest.json");
    let (file, of) = (changelog.to_str().unwrap(), manifest.to_str().unwrap());
    let words = ["hash", "--changelog", file, "--manifest", of];
    let said = |words: &[&str]| text(&command(words).output().unwrap());
    assert!(said(&words).contains("the hashes of 0.1.0 are updated"));
    assert!(said(&words).contains("are right already"));
    let sums = fs_err::read_to_string(outputs("kvm").join("SHA256SUMS")).unwrap();
    let image = sums
        .lines()
        .find(|line| line.ends_with(".img.zst"))
        .unwrap();
    let written = fs_err::read_to_string(&changelog).unwrap();
    assert!(
        written.contains(&image[..64]) && written.starts_with("# Changelog\n"),
        "{written}"
    );

    // The plain sums are those of sha256sum.
    let (good, theirs) = tool("sha256sum", &[of]);
    assert!(good, "{theirs}");
    assert_eq!(said(&["hash", of]), theirs);
}

/// A test device was flashed with this candidate, and with nothing else: its record says so, or is no proof.
#[test]
fn a_flash_record_proves_which_candidate_a_test_device_ran() {
    let team = Team::new();
    team.says("dan", &["start", "0.1.0", "--kind", "feature"]);
    let output = team.candidate("dan", &[]);
    assert!(output.status.success(), "{}", text(&output));
    team.says("sam", &["done", "update-test-plan"]);

    let disk = team.folder.path().join("disk");
    fs_err::File::create(&disk)
        .unwrap()
        .set_len(4 << 30)
        .unwrap();
    let (good, node) = tool("losetup", &["--find", "--show", disk.to_str().unwrap()]);
    assert!(good, "{node}");
    let build = outputs("kvm");
    let flash = |name: &str, more: &[&str]| {
        let log = team.folder.path().join(name);
        let record = log.to_str().unwrap();
        let all = [
            "flash",
            build.to_str().unwrap(),
            node.trim(),
            "--yes",
            "--unusual",
            "--record",
            record,
        ];
        let output = command(&[&all[..], more].concat()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        log
    };
    let carl = team.key("carl");
    let good = flash("good.jsonl", &["--sign-record", carl.to_str().unwrap()]);
    let unverified = flash("unverified.jsonl", &["--no-verify"]);
    tool("losetup", &["--detach", node.trim()]);

    let line = fs_err::read_to_string(&good).unwrap();
    let read = flash_record::lines(&line).next().unwrap().unwrap();
    let changed = |name: &str, text: &str| {
        let file = team.folder.path().join(name);
        fs_err::write(&file, text).unwrap();
        file
    };
    let mut other = read.record.clone();
    other.build.as_mut().unwrap().candidate = content_digest::Sha256Digest::of("another");
    let other = flash_record::write::<()>(&other, None).unwrap();
    let mut failed = read.record.clone();
    failed.result = flash_record::Outcome::Failed;
    failed.reason = Some("it was pulled out".into());
    let failed = flash_record::write::<()>(&failed, None).unwrap();
    let forged = line
        .replace("\"operator\"", "\"was\"")
        .replace("\"seconds\":", "\"seconds\":1");
    for (file, part) in [
        (unverified, "was not read back"),
        (changed("other.jsonl", &other), "this release is about"),
        // The newest record of a device counts.
        (
            changed("again.jsonl", &format!("{line}{failed}")),
            "it was pulled out",
        ),
        (
            changed("forged.jsonl", &forged),
            "signed by nobody of the release's people",
        ),
    ] {
        team.is_refused(
            "carl",
            &["evidence", "add", "test-product", file.to_str().unwrap()],
            part,
        );
    }
    let good = good.to_str().unwrap();
    let add = ["evidence", "add", "test-product", good];
    team.is_refused(
        "carl",
        &[&add[..], &["--serial", "10000000abc"]].concat(),
        "no record of a device",
    );
    team.says("carl", &add);
    team.says("carl", &["done", "test-product", "--note", "all sections"]);
    // Other JSON is evidence like any file.
    let other = changed("measured.json", "{\"boots\": 12}\n");
    team.says(
        "carl",
        &["evidence", "add", "test-update", other.to_str().unwrap()],
    );
}
