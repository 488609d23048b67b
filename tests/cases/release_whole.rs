//! A whole release: five people in seven roles on clones of their own, over what `bakelite build` really makes,
//! with a store, a stand-in for GitHub, two candidates, a crash in the middle of publishing, and two days of
//! watching.

use std::path::Path;

use bakelite_tests::bakelite::{cache, command, copy_project, outputs, program, text, tool};
use bakelite_tests::cut::{Cut, When};
use bakelite_tests::github::{Github, REPOSITORY, TOKEN};
use bakelite_tests::serve::{client, free_port};
use bakelite_tests::store::{Moto, python};
use bakelite_tests::team::{FIVE, Team, git};

const SECURITY: &str = "+++\nkind = \"security\"\ncve = \"CVE-2026-12345\"\n+++\nThe claim code is compared in constant time.\n";
const CHANGED: &str = "+++\nkind = \"changed\"\nbehaviour-change = true\nowners = [\"dora\"]\ntest = \"3.2 static address\"\n+++\nA static address is tried out before it is kept.\n";
const ADVISORY: &str = "id = \"ACME-2026-001\"\ncve = \"CVE-2026-12345\"\ntitle = \"Claim code can be guessed\"\nsummary = \"Answers took longer for codes that began right.\"\nfirst-affected = \"0.0.1\"\nrisk = \"Somebody in the local network could claim a new device.\"\nworkaround = \"Claim the device on a network of your own.\"\ncvss = \"CVSS:3.1/AV:A/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H\"\ncredits = [\"Ada\"]\nreferences = [\"https://example.com/more\"]\n";

/// Points the template at the servers of the test.
fn change(clone: &Path, github: &str, store: &str, public: &str, minisign: &str) {
    let file = clone.join("release/template/release.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("\n[targets.downloads]").unwrap();
    let (_, after) = rest.split_once("\n# Mail goes").unwrap();
    let s3 = |name: &str, prefix: &str| {
        format!(
            "[targets.{name}]\nkind = \"s3\"\nbucket = \"acme\"\nendpoint = \"http://{store}\"\nprefix = \"{prefix}\"\naddress = \"http://{public}/acme/{prefix}\"\n"
        )
    };
    let targets = format!(
        "[targets.downloads]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\napi = \"http://{github}\"\n{}{}{}",
        s3("community", "community"),
        s3("pages", "pages"),
        s3("films", "films")
    );
    let text = format!("{before}\n{targets}\n# Mail goes{after}")
        .replacen("schema = 1\n", "schema = 1\nevidence = \"films\"\n", 1)
        .replacen(
            "publisher = \"Example\"",
            &format!("publisher = \"Acme\"\nminisign = \"{minisign}\""),
            1,
        );
    fs_err::write(&file, text).unwrap();
    let bench = clone.join("release/template/steps/run-end-to-end.toml");
    let text = fs_err::read_to_string(&bench).unwrap();
    let port = free_port();
    // The bench has the real time.
    let program = format!(
        "\"env\", \"-u\", \"LD_PRELOAD\", \"{}\"",
        program().display()
    );
    let text = text.replace("\"bakelite\"", &program).replace(
        "\"--until\"",
        &format!("\"--port\", \"{port}\", \"--disk\", \"../bench.img\", \"--until\""),
    );
    fs_err::write(&bench, text).unwrap();
    fs_err::create_dir(clone.join("changes")).unwrap();
    fs_err::write(clone.join("changes/claim-code.md"), SECURITY).unwrap();
    fs_err::write(clone.join("changes/static-address.md"), CHANGED).unwrap();
}

/// A key as `minisign -G -W` makes it. Returns its public half.
fn minisign_key(folder: &Path) -> String {
    let (public, secret) = (folder.join("key.pub"), folder.join("key"));
    let (good, said) = tool(
        "minisign",
        &[
            "-G",
            "-W",
            "-p",
            public.to_str().unwrap(),
            "-s",
            secret.to_str().unwrap(),
        ],
    );
    assert!(good, "{said}");
    let text = fs_err::read_to_string(public).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

/// The second candidate: the same recipe with one file more, really built.
fn second_build(folder: &Path) -> std::path::PathBuf {
    copy_project(folder);
    let file = folder.join("overlays/network/files/etc/bakelite-note");
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, "the flicker is gone\n").unwrap();
    let lock = outputs("kvm").join("kvm-0.1.0.lock");
    let words = [
        "--cache",
        &cache(),
        "build",
        "recipes/kvm.toml",
        "--lock",
        lock.to_str().unwrap(),
    ];
    let output = command(&words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    folder.join("out/kvm/0.1.0")
}

fn film(team: &Team, name: &str, step: &str, what: &str) {
    let path = team.clone_of(name).join(format!("../{step}.mp4"));
    fs_err::write(&path, what).unwrap();
    let path = path.to_str().unwrap();
    team.does(
        name,
        &[
            "evidence",
            "add",
            step,
            path,
            "--seconds",
            "90",
            "--serial",
            "10000000abc",
        ],
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one release, from its first day to its last"
)]
fn five_people_bring_a_release_out() {
    let folder = tempfile::tempdir().unwrap();
    let github = Github::default();
    let cut = Cut::before(&github.serve());
    let store = Moto::start("acme");
    let public = Cut::public(&store.address);
    let minisign = minisign_key(folder.path());
    let team = Team::new(FIVE, |clone| {
        change(
            clone,
            &cut.address,
            &store.address,
            &public.address,
            &minisign,
        );
    });
    team.set("BAKELITE_GITHUB_TOKEN", TOKEN);
    team.set("AWS_ACCESS_KEY_ID", "test");
    team.set("AWS_SECRET_ACCESS_KEY", "secret-of-the-store");
    team.set(
        "BAKELITE_MINISIGN_KEY",
        folder.path().join("key").to_str().unwrap(),
    );
    team.clock("2026-12-01 09:00:00");

    // The first candidate, from the fragments: an advisory is needed, and dora must see the footage.
    team.does("dana", &["start", "0.1.0", "--kind", "feature"]);
    let first = outputs("kvm");
    team.does("dana", &["candidate", "add", first.to_str().unwrap()]);
    team.does("dana", &["run", "draft-changelog", "--do"]);
    team.does("dana", &["run", "draft-advisories", "--do"]);
    let draft = team
        .clone_of("dana")
        .join("release/advisories/claim-code.toml");
    assert!(
        fs_err::read_to_string(&draft)
            .unwrap()
            .contains("id = \"ACME-2026-001\"")
    );
    fs_err::write(&draft, ADVISORY).unwrap();
    team.does("dana", &["done", "draft-advisories"]);
    // The changelog is on dana's clone; she shares it as any other work.
    let share = || {
        let dana = team.clone_of("dana");
        git(&dana, &["add", "-A"]);
        git(&dana, &["commit", "-q", "-m", "drafts"]);
        git(&dana, &["push", "-q", "origin", "HEAD:main"]);
        for name in ["dora", "sam", "carl", "olga"] {
            git(
                &team.clone_of(name),
                &["pull", "-q", "--rebase", "origin", "main"],
            );
        }
    };
    share();
    team.does("carl", &["run", "draft-announcement", "--do"]);
    team.does("carl", &["done", "draft-announcement"]);
    team.does("sam", &["claim", "update-test-plan"]);
    team.clock("2026-12-01 09:25:00");
    team.does("sam", &["done", "update-test-plan"]);
    for step in ["test-product", "test-update", "test-diy"] {
        film(
            &team,
            "carl",
            step,
            &format!("{step} of the first candidate"),
        );
        team.does("carl", &["done", step]);
    }
    team.does(
        "dana",
        &[
            "waive",
            "run-end-to-end",
            "--reason",
            "the bench is being moved",
        ],
    );

    // sam sees the flicker at 0:42 and refuses; olga says no.
    team.says("sam", &["sync"]);
    let listed = team.says("sam", &["--json", "review", "review-results"]);
    let listed: serde_json::Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    let seen = listed["answer"][0]["file"]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    // The film came over the store, byte for byte.
    let here = team.clone_of("sam").join("release/evidence").join(&seen);
    assert!(
        fs_err::read_to_string(here)
            .unwrap()
            .ends_with("of the first candidate")
    );
    let at = format!("{seen}@42");
    team.does(
        "sam",
        &[
            "finding",
            "flicker",
            "the picture flickers at 1080p",
            "--at",
            &at,
        ],
    );
    team.does(
        "sam",
        &[
            "review",
            "review-results",
            "--refuse",
            "--note",
            "see the flicker",
        ],
    );
    team.does("dora", &["review", "review-results", "--approve"]);
    team.sync();
    team.is_refused(
        "dana",
        &["decide", "no-go", "--reason", "x"],
        "this is for product-owner",
    );
    for (name, question, answer) in [
        ("sam", "user-impact", "everybody with a 1080p screen"),
        ("dora", "time-to-fix", "an hour"),
        ("carl", "cost-to-retest", "one film"),
    ] {
        team.does(name, &["input", "flicker", question, answer]);
    }
    team.says("olga", &["sync"]);
    team.is_refused(
        "olga",
        &["decide", "go", "--finding", "flicker=known-issue"],
        "review-results",
    );
    let no = [
        "decide",
        "no-go",
        "--finding",
        "flicker=fix-now",
        "--reason",
        "everybody would see it",
    ];
    team.does("olga", &no);
    let sheet = team.says("olga", &["sheet"]);
    for part in [
        "rc1: No-go",
        "What could the fix break? not answered",
        "everybody with a 1080p screen (sam)",
    ] {
        assert!(sheet.contains(part), "“{part}” is not in: {sheet}");
    }

    // The second candidate makes proof stale; what holds is confirmed, what does not is done again.
    team.clock("2026-12-02 09:00:00");
    let second = second_build(&folder.path().join("project"));
    team.does("dana", &["candidate", "add", second.to_str().unwrap()]);
    team.sync();
    let status = team.says("carl", &["status"]);
    for line in [
        "~ update-test-plan       stale: it was done for rc1",
        "~ run-end-to-end         stale: it was left out for rc1",
    ] {
        assert!(status.contains(line), "“{line}” is not in: {status}");
    }
    team.does("dana", &["run", "draft-changelog", "--do"]);
    team.does(
        "dana",
        &[
            "confirm",
            "draft-advisories",
            "--reason",
            "the hole is the same",
        ],
    );
    share();
    team.does(
        "sam",
        &[
            "confirm",
            "update-test-plan",
            "--reason",
            "no new behaviour",
        ],
    );
    team.does(
        "carl",
        &[
            "confirm",
            "test-diy",
            "--reason",
            "only the picture's timing changed",
        ],
    );
    for step in ["test-product", "test-update"] {
        film(
            &team,
            "carl",
            step,
            &format!("{step} of the second candidate"),
        );
        team.does("carl", &["done", step]);
    }
    // The bench boots the image of the candidate.
    let bench = team.does("dana", &["run", "run-end-to-end", "--do"]);
    assert!(
        bench.contains("env succeeded") && bench.contains("output kept as evidence"),
        "{bench}"
    );
    team.does("sam", &["review", "review-results", "--approve"]);
    let status = team.says("sam", &["status"]);
    assert!(
        status.contains("> review-results"),
        "one role is not all: {status}"
    );
    team.does("dana", &["review", "review-results", "--approve"]);
    let status = team.says("dana", &["status"]);
    assert!(
        status.contains("> review-results"),
        "dora owns what changed: {status}"
    );
    team.does("dora", &["review", "review-results", "--approve"]);
    team.does(
        "dora",
        &[
            "input",
            "flicker",
            "risk-of-fix",
            "the timing of other screens",
        ],
    );
    team.does("olga", &["decide", "go", "--finding", "flicker=fixed"]);

    // Publishing: the program is ended in the middle of an upload, and goes on where it was.
    team.does("dana", &["run", "publish-changelog", "--do"]);
    team.says("dana", &["sync"]);
    let child = team.starts("dana", &["run", "publish-release", "--do"]);
    cut.cut(&child, 9, When::After);
    let ended = child.wait_with_output().unwrap();
    assert!(!ended.status.success(), "{}", text(&ended));
    cut.open();
    let status = team.says("dana", &["status"]);
    assert!(
        status.contains("an attempt began and never ended"),
        "{status}"
    );
    assert!(
        matches!(github.releases().as_slice(), [(_, true, _)]),
        "a draft, and only one"
    );
    let said = team.does("dana", &["run", "publish-release", "--do"]);
    assert!(said.contains("13 files at"), "{said}");
    let released = github.releases();
    assert_eq!(
        (released.len(), released[0].0.as_str(), released[0].1),
        (1, "v0.1.0", false)
    );
    let uploads = github
        .requests()
        .iter()
        .filter(|line| line.starts_with("POST") && line.ends_with("assets"))
        .count();
    assert_eq!(uploads, 13, "nothing was uploaded twice");
    // Again it finds that all is as it should be.
    team.is_refused(
        "dana",
        &["run", "publish-release", "--do"],
        "settled already",
    );
    team.does("dora", &["run", "check-hashes", "--do"]);
    judge_sums(
        folder.path(),
        &cut.address,
        &released[0].2,
        &minisign,
        &team,
    );

    let log = folder.path().join("update.log");
    fs_err::write(&log, "updated").unwrap();
    team.does(
        "sam",
        &["evidence", "add", "verify-updates", log.to_str().unwrap()],
    );
    team.does("sam", &["done", "verify-updates"]);
    team.does("dora", &["sync"]);
    let build = ["--build", second.to_str().unwrap()];
    team.does("dana", &["run", "publish-advisories", "--do"]);
    judge_advisories(folder.path(), &public.address);
    team.does("dana", &["run", "tell-team", "--do"]);
    let mail = team
        .clone_of("dana")
        .join("public/mail/0.1.0-tell-team.eml");
    let mail = fs_err::read_to_string(mail).unwrap();
    assert!(
        mail.contains("Subject: KVM 0.1.0 is out")
            && mail.contains("Message-ID: <0.1.0.tell-team."),
        "{mail}"
    );

    // Two days pass.
    team.says("sam", &["sync"]);
    team.is_refused("sam", &["done", "watch"], "the wait is not over");
    for (time, reports) in [
        ("2026-12-02 13:05:00", "2"),
        ("2026-12-03 09:05:00", "1"),
        ("2026-12-04 09:10:00", "0"),
    ] {
        team.clock(time);
        team.does(
            "sam",
            &[
                "check-in",
                "watch",
                "--reports",
                reports,
                "--note",
                "nothing new",
            ],
        );
    }
    team.does("sam", &["done", "watch"]);

    let mut community = vec!["run", "publish-community", "--do"];
    community.extend(build);
    team.does("dora", &community);
    let list = fetch(&format!(
        "http://{}/acme/community/os_list.json",
        public.address
    ));
    judge("rpi-imager-os-list", folder.path(), &list);
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let image = list["os_list"][0]["url"].as_str().unwrap();
    assert!(
        image.starts_with("http://") && image.ends_with("/0.1.0/kvm-0.1.0.img.zst"),
        "{image}"
    );
    team.does("carl", &["run", "publish-blog", "--do"]);
    team.does("carl", &["run", "mail-list", "--do"]);
    team.does("carl", &["done", "post-social"]);
    team.does("sam", &["run", "update-links", "--do"]);

    // The distributor first says the hash of something else.
    let sums = fs_err::read_to_string(second.join("SHA256SUMS")).unwrap();
    let image = sums
        .lines()
        .find(|line| line.ends_with(".img.zst"))
        .unwrap();
    for step in ["hand-to-distributor", "hand-to-manufacturer"] {
        let mut words = vec!["handoff", step];
        words.extend(build);
        let said = team.does("sam", &words);
        assert!(
            said.contains("README.md, manifest.json") && said.contains("SHA256SUMS"),
            "{said}"
        );
        team.does("sam", &["handoff", step, "--answer", &"0".repeat(64)]);
        let status = team.says("sam", &["status"]);
        assert!(status.contains(&format!("> {step}")), "{status}");
        team.does("sam", &["handoff", step, "--answer", &image[..64]]);
    }
    team.does("carl", &["retro", "film in landscape"]);
    team.does("dana", &["close"]);

    // Everybody has the same release, and every word of it verifies.
    team.sync();
    let status = team.says("dana", &["status"]);
    assert!(status.starts_with("release 0.1.0, closed: rc2"), "{status}");
    for (name, _) in FIVE {
        assert_eq!(team.says(name, &["status"]), status, "{name}");
        assert!(
            team.says(name, &["verify"])
                .contains("every signature and link holds")
        );
    }
    let journal = team.clone_of("olga").join("release/journal");
    let (_, secrets) = tool(
        "grep",
        &[
            "-rlE",
            &format!("{TOKEN}|secret-of-the-store"),
            journal.to_str().unwrap(),
        ],
    );
    assert_eq!(secrets, "", "a secret is in the journal");
    let cost = team.says(
        "sam",
        &[
            "cost",
            "--automate",
            "update-test-plan",
            "--build-hours",
            "10",
        ],
    );
    assert!(
        cost.contains("25 min (1 times)") && cost.contains("not worth it"),
        "{cost}"
    );
}

fn fetch(address: &str) -> Vec<u8> {
    let answer = client(true).get(address).send().unwrap();
    assert!(
        answer.status().is_success(),
        "{address}: {}",
        answer.status()
    );
    answer.bytes().unwrap().to_vec()
}

/// Other people's tools agree about what the public downloads.
fn judge_sums(
    folder: &Path,
    github: &str,
    files: &[(String, impl std::fmt::Display)],
    minisign: &str,
    team: &Team,
) {
    let folder = folder.join("downloads");
    fs_err::create_dir(&folder).unwrap();
    for (name, _) in files {
        let bytes = fetch(&format!(
            "http://{github}/{REPOSITORY}/releases/download/v0.1.0/{name}"
        ));
        fs_err::write(folder.join(name), bytes).unwrap();
    }
    let people = fs_err::read_to_string(team.key("dana").with_extension("pub")).unwrap();
    fs_err::write(folder.join("people"), format!("dana {people}")).unwrap();
    for judge in [
        "sha256sum --strict -c SHA256SUMS",
        "shasum -a 256 --strict -c SHA256SUMS",
        &format!("minisign -Vm SHA256SUMS -P {minisign}"),
        "ssh-keygen -Y verify -f people -I dana -n file -s SHA256SUMS.sig < SHA256SUMS",
    ] {
        let script = format!("cd '{}' && {judge}", folder.display());
        let (good, said) = tool("sh", &["-c", &script]);
        assert!(good, "{judge}: {said}");
    }
}

/// A published schema agrees with a document.
fn judge(schema: &str, folder: &Path, document: &[u8]) {
    let file = folder.join("document.json");
    fs_err::write(&file, document).unwrap();
    let tests = bakelite_tests::bakelite::root().join("tests");
    let schema_file = tests.join(format!("schemas/{schema}.schema.json"));
    let words = [tests.join("judge-schema.py"), schema_file, file];
    let words = words.each_ref().map(|path| path.to_str().unwrap());
    let (good, said) = tool(python().join("bin/python").to_str().unwrap(), &words);
    assert!(good, "{schema}: {said}");
}

/// Programs, databases and people find the advisory.
fn judge_advisories(folder: &Path, store: &str) {
    let base = format!("http://{store}/acme/pages/advisories/acme-2026-001");
    judge("csaf-2.0", folder, &fetch(&format!("{base}.json")));
    judge("osv", folder, &fetch(&format!("{base}.osv.json")));
    let page = String::from_utf8(fetch(&format!("{base}.html"))).unwrap();
    assert!(page.contains("Claim code can be guessed"), "{page}");
}
