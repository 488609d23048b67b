//! The journal between people, over git: nothing is lost, and what somebody does to it behind our back is named.

use std::path::PathBuf;

use bakelite_tests::team::{FIVE, Team, git};

/// A journal that everybody has, with a finding of dora's.
fn begun() -> Team {
    let team = Team::new(FIVE, |_| {});
    team.does("dana", &["start", "2.7.0", "--kind", "patch"]);
    team.does("dora", &["finding", "flicker", "the picture flickers"]);
    team.sync();
    team
}

/// A clone of the journal's branch, for somebody who does not use bakelite.
fn mallory(team: &Team) -> PathBuf {
    let folder = team.clone_of("mallory");
    let origin = team.origin();
    let words = [
        "clone",
        "-q",
        "-b",
        "bakelite-release",
        origin.to_str().unwrap(),
        folder.to_str().unwrap(),
    ];
    git(&team.origin(), &words);
    folder
}

fn event_of(journal: &std::path::Path, name: &str) -> PathBuf {
    let entries = fs_err::read_dir(journal.join("runs/2.7.0/events")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with(&format!("-{name}.json")));
    files.remove(0)
}

fn push(clone: &std::path::Path, what: &str) {
    git(clone, &["add", "-A"]);
    git(clone, &["commit", "-q", "-m", what]);
    git(clone, &["push", "-q", "origin", "HEAD:bakelite-release"]);
}

#[test]
fn what_two_did_without_a_network_comes_together() {
    let team = begun();
    // Nobody syncs in between.
    team.says("sam", &["finding", "one", "by sam"]);
    team.says("carl", &["finding", "two", "by carl"]);
    team.says("sam", &["finding", "three", "by sam"]);
    team.sync();
    let status = team.says("olga", &["status"]);
    for (name, _) in FIVE {
        assert_eq!(team.says(name, &["status"]), status, "{name}");
        assert!(
            team.says(name, &["sync"])
                .contains("0 files came in, 0 went out")
        );
    }
    assert_eq!(status.matches("  ! ").count(), 4, "{status}");
}

#[test]
fn a_deleted_event_is_named_and_stays_with_those_who_have_it() {
    let team = begun();
    let clone = mallory(&team);
    let file = event_of(&clone, "dora");
    fs_err::remove_file(&file).unwrap();
    push(&clone, "tidy up");
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    team.is_refused(
        "sam",
        &["sync"],
        &format!("deletes runs/2.7.0/events/{name}"),
    );
    assert!(team.says("sam", &["status"]).contains("! flicker"));
    // Putting it back does not hide it.
    git(&clone, &["revert", "--no-edit", "HEAD"]);
    git(&clone, &["push", "-q", "origin", "HEAD:bakelite-release"]);
    team.is_refused("sam", &["sync"], "deletes runs/2.7.0/events/");
}

#[test]
fn a_changed_event_is_named_here_and_there() {
    let team = begun();
    let clone = mallory(&team);
    let file = event_of(&clone, "dora");
    let text = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, text.replace("flickers", "is perfect")).unwrap();
    push(&clone, "better words");
    team.is_refused("carl", &["sync"], "changes runs/2.7.0/events/");
    // Or on one's own computer.
    let here = event_of(&team.clone_of("olga").join("release/journal"), "dora");
    fs_err::write(&here, "{}").unwrap();
    team.is_refused("olga", &["sync"], "here: changes runs/2.7.0/events/");
}

#[test]
fn a_branch_that_was_rewritten_is_noticed() {
    let team = begun();
    let clone = mallory(&team);
    git(&clone, &["reset", "-q", "--hard", "HEAD~1"]);
    git(
        &clone,
        &["push", "-q", "--force", "origin", "HEAD:bakelite-release"],
    );
    team.is_refused("sam", &["sync"], "was rewritten");
    // And the next time, too.
    team.is_refused("sam", &["sync"], "was rewritten");
}

#[test]
fn a_forged_event_is_not_passed_on() {
    let team = begun();
    let clone = mallory(&team);
    let file = event_of(&clone, "dora");
    let text = fs_err::read_to_string(&file)
        .unwrap()
        .replace("\"actor\":\"dora\"", "\"actor\":\"olga\"");
    let name = file.to_str().unwrap().replace("-dora.json", "-olga.json");
    fs_err::write(name, text).unwrap();
    push(&clone, "olga said so");
    team.is_refused("carl", &["sync"], "-olga.json: signed by");
}
