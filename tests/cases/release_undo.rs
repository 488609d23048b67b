//! What can be taken back is, and what cannot is refused before anything is touched.

use bakelite_tests::bakelite::outputs;
use bakelite_tests::team::{FIVE, Team};

/// One journal for two, here: somebody speaks over dana's.
fn share(team: &Team, name: &str) {
    let journal = team.clone_of("dana").join("release/journal");
    let theirs = team.clone_of(name).join("release/journal");
    std::os::unix::fs::symlink(journal, theirs).unwrap();
}

#[test]
fn a_draft_is_taken_back_and_done_again() {
    let team = Team::new(FIVE, |clone| {
        fs_err::create_dir(clone.join("changes")).unwrap();
        fs_err::write(
            clone.join("changes/tea.md"),
            "+++\nkind = \"added\"\n+++\nTea.\n",
        )
        .unwrap();
        fs_err::write(
            clone.join("CHANGELOG.md"),
            "# Changelog\n\n## [0.0.9] - 2026-01-01\n\n- Coffee.\n",
        )
        .unwrap();
    });
    let changelog = team.clone_of("dana").join("CHANGELOG.md");
    let before = fs_err::read_to_string(&changelog).unwrap();
    team.says("dana", &["start", "0.1.0", "--kind", "patch"]);
    share(&team, "carl");
    team.says(
        "dana",
        &["candidate", "add", outputs("kvm").to_str().unwrap()],
    );
    team.says("dana", &["run", "draft-changelog", "--do"]);
    let written = fs_err::read_to_string(&changelog).unwrap();
    assert!(
        written.contains("## [0.1.0] - ") && written.contains("- Tea."),
        "{written}"
    );
    let undo = [
        "run",
        "draft-changelog",
        "--undo",
        "--reason",
        "a fragment is wrong",
    ];
    team.is_refused("carl", &undo, "this is for developer");
    team.says("dana", &undo);
    assert_eq!(fs_err::read_to_string(&changelog).unwrap(), before);
    let status = team.says("dana", &["status"]);
    assert!(status.contains("> draft-changelog"), "{status}");
    team.says("dana", &["run", "draft-changelog", "--do"]);
    assert_eq!(fs_err::read_to_string(&changelog).unwrap(), written);

    // Somebody else's step stands on it: that one first.
    team.says("carl", &["done", "draft-announcement"]);
    team.is_refused(
        "dana",
        &undo,
        "draft-announcement came after draft-changelog",
    );
    let undo = ["run", "publish-release", "--undo", "--reason", "x"];
    team.is_refused("dana", &undo, "there is only forward");
}

#[test]
fn a_delegate_decides_and_hands_nothing_on() {
    let team = Team::new(FIVE, |_| {});
    team.says("dana", &["start", "0.1.0", "--kind", "patch"]);
    team.says(
        "dana",
        &["candidate", "add", outputs("kvm").to_str().unwrap()],
    );
    let no = ["decide", "no-go", "--reason", "the box smokes"];
    team.is_refused(
        "dana",
        &["delegate", "product-owner", "--to", "dana", "--reason", "x"],
        "this is for product-owner",
    );
    share(&team, "olga");
    team.says(
        "olga",
        &[
            "delegate",
            "product-owner",
            "--to",
            "dana",
            "--reason",
            "I am at sea",
        ],
    );
    team.is_refused(
        "dana",
        &["delegate", "product-owner", "--to", "sam", "--reason", "x"],
        "this is for product-owner",
    );
    team.says("dana", &no);
    assert!(team.says("dana", &["sheet"]).contains("Decided by: dana"));
}
