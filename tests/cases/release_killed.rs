//! A release whose programs are ended at every write: of the journal, of a folder, of a store, of GitHub. What
//! follows finishes it; nothing is lost, nothing is there twice.

use std::path::Path;

use bakelite_tests::bakelite::text;
use bakelite_tests::cut::{Cut, When};
use bakelite_tests::github::{Github, REPOSITORY, TOKEN};
use bakelite_tests::store::Moto;
use bakelite_tests::team::Team;
use content_digest::Sha256Digest;

const ALONE: &[(&str, &[&str])] = &[("ann", &["dev"])];

/// System calls that change what others see on the disk.
const WRITES: [&str; 12] = [
    "write",
    "copy_file_range",
    "sendfile",
    "fsync",
    "link",
    "linkat",
    "rename",
    "renameat2",
    "unlink",
    "mkdir",
    "fchmod",
    "chmod",
];

/// A template of three steps: a candidate, its changelog, its publication.
fn small(clone: &Path, target: &str) {
    let template = clone.join("release/template");
    fs_err::remove_dir_all(template.join("steps")).unwrap();
    fs_err::create_dir(template.join("steps")).unwrap();
    let write = |name: &str, text: &str| fs_err::write(template.join(name), text).unwrap();
    write(
        "release.toml",
        &format!(
            "schema = 1\ndescription = \"small\"\n[budget]\nsteps = 9\ntouch-hours = 9\nirreversible = 9\n[roles.dev]\ntitle = \"Developer\"\nmay-waive = true\n[targets.there]\n{target}"
        ),
    );
    let step = |kind: &str, more: &str| {
        format!("title = \"t\"\nkind = \"{kind}\"\nrole = \"dev\"\nminutes = 1\n{more}\n")
    };
    write(
        "steps/build.toml",
        &step("command", "action = { name = \"candidate\" }"),
    );
    write(
        "steps/draft.toml",
        &step(
            "command",
            "after = [\"build\"]\naction = { name = \"changelog\" }",
        ),
    );
    write(
        "steps/publish.toml",
        &step(
            "command",
            "after = [\"draft\"]\neffect = \"irreversible\"\naction = { name = \"publish\", target = \"there\" }",
        ),
    );
    for (name, action) in [
        (
            "change",
            "{ name = \"publish-changelog\", target = \"there\" }",
        ),
        (
            "advise",
            "{ name = \"publish-advisories\", target = \"there\" }",
        ),
        (
            "page",
            "{ name = \"publish-page\", target = \"there\", file = \"news-{version}.md\", page = \"news/{version}\" }",
        ),
    ] {
        // A release of GitHub takes no pages.
        if !target.contains("github") {
            let more = format!("after = [\"draft\"]\naction = {action}");
            write(&format!("steps/{name}.toml"), &step("command", &more));
        }
    }
}

/// A build of two small files, as its manifest says.
fn build(folder: &Path) {
    fs_err::create_dir_all(folder).unwrap();
    let golden = fs_err::read_to_string(
        bakelite_tests::bakelite::root().join("formats/artifact-manifest/golden/manifest-1.json"),
    );
    let mut manifest = artifact_manifest::ArtifactManifest::from_json(&golden.unwrap()).unwrap();
    manifest.files.truncate(1);
    let image = b"an image of few bytes".repeat(100);
    let mut map = manifest.files[0].clone();
    manifest.files[0].size = image.len() as u64;
    manifest.files[0].sha256 = Sha256Digest::of(&image);
    fs_err::write(folder.join(&manifest.files[0].name), &image).unwrap();
    map.name = "kvm-1.bmap".into();
    map.role = artifact_manifest::Role::Bmap;
    map.extracted = None;
    map.size = 3;
    map.sha256 = Sha256Digest::of("map");
    fs_err::write(folder.join(&map.name), "map").unwrap();
    manifest.files.push(map);
    fs_err::write(folder.join("manifest.json"), manifest.to_json()).unwrap();
}

/// A team of one with a build.
fn alone(target: &str) -> Team {
    let team = Team::new(ALONE, |clone| small(clone, target));
    build(&team.clone_of("ann").join("out"));
    team
}

/// Begins a release of its own for every interruption, up to the step that publishes.
fn begin(team: &Team, version: &str) {
    let clone = team.clone_of("ann");
    for folder in ["changes", "release/advisories"] {
        fs_err::create_dir_all(clone.join(folder)).unwrap();
    }
    let write = |name: &str, text: String| fs_err::write(clone.join(name), text).unwrap();
    let fragment = "+++\nkind = \"added\"\n+++\nTea.\n";
    write(&format!("changes/tea-{version}.md"), fragment.into());
    write(
        &format!("news-{version}.md"),
        format!("News of {version}.\n"),
    );
    write(
        "release/advisories/a.toml",
        format!(
            "id = \"A-{version}\"\ntitle = \"t\"\nsummary = \"s\"\nfirst-affected = \"0\"\nrisk = \"r\"\n"
        ),
    );
    team.says("ann", &["start", version, "--kind", "patch"]);
    team.says("ann", &["--run", version, "candidate", "add", "out"]);
    team.says("ann", &["--run", version, "run", "draft", "--do"]);
}

fn events(team: &Team) -> usize {
    let said = team.says("ann", &["--json", "log"]);
    let line = said.lines().last().unwrap();
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["answer"].as_array().unwrap().len()
}

/// Runs a command that is ended at its call number `at` of a kind. Returns whether it came to its end before.
fn killed_at(team: &Team, call: &str, at: usize, words: &[&str]) -> bool {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=KILL:when={at}");
    let strace = ["-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let output = team.tries_under("strace", &strace, "ann", words);
    let said = text(&output);
    assert!(!said.contains("strace:"), "{said}");
    output.status.success()
}

/// Every write of a command: `work` runs it and says whether it came to its end.
fn at_every_write(mut work: impl FnMut(&str, usize) -> bool) -> usize {
    let mut count = 0;
    for call in WRITES {
        let mut at = 1;
        while !work(call, at) {
            at += 1;
        }
        count += at - 1;
    }
    count
}

#[test]
fn an_event_is_there_whole_or_not_at_all() {
    let team = alone("kind = \"folder\"\nfolder = \"public\"\n");
    team.says("ann", &["start", "1", "--kind", "patch"]);
    let count = at_every_write(|call, at| {
        let before = events(&team);
        let name = format!("{call}-{at}");
        let words = ["finding", &name, "something"];
        let is_done = killed_at(&team, call, at, &words);
        // What was half written is no event, and nothing that was there is gone.
        team.says("ann", &["verify"]);
        let after = events(&team);
        assert!(
            after == before || after == before + 1,
            "{name}: {before} became {after}"
        );
        if after == before {
            team.says("ann", &words);
        } else {
            team.is_refused("ann", &words, "another finding has this name");
        }
        assert_eq!(events(&team), before + 1);
        is_done
    });
    assert!(count > 5, "only {count} writes were seen");
}

#[test]
fn a_start_that_was_ended_can_be_done_again() {
    let team = alone("kind = \"folder\"\nfolder = \"public\"\n");
    let count = at_every_write(|call, at| {
        let version = format!("{call}.{at}").replace('_', "-");
        let words = ["start", &version, "--kind", "patch"];
        let is_done = killed_at(&team, call, at, &words);
        let log = ["--run", &version, "--json", "log"];
        let began = team.tries("ann", &log);
        if !text(&began).contains("run-started") {
            team.says("ann", &words);
        }
        let said = team.says("ann", &log);
        assert_eq!(said.matches("run-started").count(), 1, "{version}: {said}");
        is_done
    });
    assert!(count > 10, "only {count} writes were seen");
}

#[test]
fn publishing_in_a_folder_goes_on_after_every_write() {
    let team = alone("kind = \"folder\"\nfolder = \"public\"\n");
    let count = at_every_write(|call, at| {
        let version = format!("{call}.{at}").replace('_', "-");
        begin(&team, &version);
        let words = ["--run", &version, "run", "publish", "--do"];
        let public = team.clone_of("ann").join("public").join(&version);
        let is_done = killed_at(&team, call, at, &words);
        let there = names(&public);
        let is_whole = there.contains(&"SHA256SUMS".to_owned());
        assert!(
            !is_whole || there.len() == 5,
            "{version}: sums before files: {there:?}"
        );
        is_finished(&team, "publish", &version, &words, is_done);
        let whole = [
            "SHA256SUMS",
            "SHA256SUMS.sig",
            "kvm-1.bmap",
            "kvm-1.img.zst",
            "manifest.json",
        ];
        assert_eq!(names(&public), whole);
        is_done
    });
    assert!(count > 40, "only {count} writes were seen");
}

/// Publishes again, unless that was recorded before the end; then there is one whole publication.
fn is_finished(team: &Team, step: &str, version: &str, words: &[&str], is_done: bool) {
    let status = || team.says("ann", &["--run", version, "status"]);
    if !is_done && !status().contains(&format!("✓ {step} ")) {
        team.says("ann", words);
    }
    assert!(
        status().contains(&format!("✓ {step} ")),
        "{version}: {}",
        status()
    );
    team.says("ann", &["--run", version, "verify"]);
    let journal = team.says("ann", &["--run", version, "log"]);
    // That of the draft, and one of the publication, however often it was begun.
    assert_eq!(
        journal.matches("attempt-started").count(),
        2,
        "{version}: {journal}"
    );
    assert_eq!(
        journal.matches("attempt-finished").count(),
        2,
        "{version}: {journal}"
    );
}

#[test]
fn pages_are_published_whole_after_every_write() {
    let team = alone("kind = \"folder\"\nfolder = \"public\"\n");
    let clone = team.clone_of("ann");
    let public = clone.join("public");
    for step in ["change", "advise", "page"] {
        let count = at_every_write(|call, at| {
            let version = format!("{step}.{call}.{at}").replace('_', "-");
            begin(&team, &version);
            let words = ["--run", &version, "run", step, "--do"];
            let is_done = killed_at(&team, call, at, &words);
            is_finished(&team, step, &version, &words, is_done);
            let waits = clone.join(format!("changes/tea-{version}.md"));
            let put_away = clone.join(format!("changes/released/{version}/tea-{version}.md"));
            match step {
                "change" => {
                    let ours = fs_err::read(clone.join("CHANGELOG.md")).unwrap();
                    assert_eq!(fs_err::read(public.join("CHANGELOG.md")).unwrap(), ours);
                    assert!(!waits.exists() && put_away.exists(), "{version}");
                }
                "advise" => {
                    let name = format!("a-{version}").replace('.', "_");
                    let files = names(&public.join("advisories"));
                    let ours: Vec<_> = files
                        .iter()
                        .filter(|file| file.starts_with(&format!("{name}.")))
                        .collect();
                    assert_eq!(ours.len(), 5, "{version}: {files:?}");
                    assert!(
                        !clone.join("release/advisories/a.toml").exists(),
                        "{version}"
                    );
                }
                _ => {
                    let page = public.join(format!("news/{version}.md"));
                    assert_eq!(
                        fs_err::read_to_string(page).unwrap(),
                        format!("News of {version}.\n")
                    );
                }
            }
            // What this release left is not for the next.
            for left in ["changes", "release/advisories"] {
                for name in names(&clone.join(left))
                    .iter()
                    .filter(|name| name.contains('.'))
                {
                    fs_err::remove_file(clone.join(left).join(name)).unwrap();
                }
            }
            is_done
        });
        assert!(count > 10, "only {count} writes were seen");
    }
}

/// Visible files of a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Ends the program at each of its requests, before and after the server sees it, each time in a release of its
/// own. Returns how many requests there are.
fn publish_through(team: &Team, cut: &Cut, check: impl Fn(&str)) -> usize {
    for when in [When::Before, When::After] {
        for at in 1.. {
            let version = format!("{at}-{when:?}");
            begin(team, &version);
            let words = ["--run", &version, "run", "publish", "--do"];
            let child = team.starts("ann", &words);
            cut.cut(&child, at, when);
            let output = child.wait_with_output().unwrap();
            cut.open();
            let is_done = output.status.success();
            let said = text(&output);
            assert!(is_done || !said.contains("error:"), "request {at}: {said}");
            is_finished(team, "publish", &version, &words, is_done);
            check(&version);
            if is_done {
                if when == When::After {
                    return at;
                }
                break;
            }
        }
    }
    unreachable!("it ends with the last request")
}

#[test]
fn publishing_at_github_goes_on_after_every_request() {
    let github = Github::default();
    let cut = Cut::before(&github.serve());
    let team = alone(&format!(
        "kind = \"github\"\nrepository = \"{REPOSITORY}\"\napi = \"http://{}\"\n",
        cut.address
    ));
    team.set("BAKELITE_GITHUB_TOKEN", TOKEN);
    let requests = publish_through(&team, &cut, |version| {
        let tag = format!("v{version}");
        let releases = github.releases();
        let ours: Vec<_> = releases
            .iter()
            .filter(|(found, _, _)| *found == tag)
            .collect();
        assert_eq!(
            (ours.len(), ours[0].1, ours[0].2.len()),
            (1, false, 5),
            "{ours:?}"
        );
    });
    assert!(requests > 15, "{requests}");

    // An upload that broke at the server leaves a file that nobody can use; it is done again.
    begin(&team, "broken");
    github.break_upload_of("kvm-1.bmap");
    let words = ["--run", "broken", "run", "publish", "--do"];
    team.is_refused("ann", &words, "502");
    team.says("ann", &words);
    // Without the token nothing begins.
    begin(&team, "unknown");
    team.set("BAKELITE_GITHUB_TOKEN", "");
    let words = ["--run", "unknown", "run", "publish", "--do"];
    team.is_refused("ann", &words, "BAKELITE_GITHUB_TOKEN is not set");
    team.says(
        "ann",
        &["--run", "unknown", "abort", "--reason", "nothing was begun"],
    );
}

#[test]
fn publishing_in_a_store_goes_on_after_every_request() {
    let store = Moto::start("acme");
    let cut = Cut::before(&store.address);
    let team = alone(&format!(
        "kind = \"s3\"\nbucket = \"acme\"\nprefix = \"a\"\nendpoint = \"http://{}\"\n",
        cut.address
    ));
    team.set("AWS_ACCESS_KEY_ID", "test");
    team.set("AWS_SECRET_ACCESS_KEY", "test");
    let requests = publish_through(&team, &cut, |version| {
        let said = team.says("ann", &["--run", version, "status"]);
        assert!(
            said.contains(&format!("5 files at s3://acme/a/{version}, ")),
            "{said}"
        );
    });
    assert!(requests > 15, "{requests}");

    // Somebody else's file under our name is a conflict, and is left alone.
    begin(&team, "taken");
    let theirs = format!(
        "http://{}/acme/a/taken/kvm-1.bmap",
        Cut::public(&store.address).address
    );
    let put = reqwest::blocking::Client::new()
        .put(&theirs)
        .body("theirs")
        .send();
    assert!(put.unwrap().status().is_success());
    let words = ["--run", "taken", "run", "publish", "--do"];
    team.is_refused("ann", &words, "kvm-1.bmap: SHA-256");
    assert_eq!(
        reqwest::blocking::get(&theirs).unwrap().text().unwrap(),
        "theirs"
    );
    team.says(
        "ann",
        &[
            "--run",
            "taken",
            "abort",
            "--reason",
            "nothing was published",
        ],
    );
}
