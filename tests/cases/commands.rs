//! Commands around a build: comparing two, a shell in the tree, what the machine can do.

use bakelite_tests::bakelite::{command, copy_project, outputs, program, root, run, text, tool};

/// Changes one thing of each kind in a copy of the project, builds it, and compares.
#[test]
fn diff_names_every_file_that_changed() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    copy_project(folder.path());
    let path = |name: &str| folder.path().join(name);
    fs_err::create_dir_all(path("overlays/ssh/files/etc/new")).unwrap();
    fs_err::write(path("overlays/ssh/files/etc/new/file"), "new\n").unwrap();
    let board = path("overlays/raspberry-pi/overlay.toml");
    let written = fs_err::read_to_string(&board).unwrap();
    let changed = written.replacen(
        "kernel-arguments = [",
        "kernel-arguments = [\"example=1\", ",
        1,
    );
    assert_ne!(written, changed, "the board has kernel arguments");
    fs_err::write(&board, changed).unwrap();
    let lock = outputs("kvm").join("kvm-0.1.0.lock");
    let output = command(&[
        "build",
        path("recipes/kvm.toml").to_str().unwrap(),
        "--lock",
        lock.to_str().unwrap(),
        "--out",
        path("out").to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let (before, after) = (outputs("kvm"), path("out/kvm/0.1.0"));
    let folders = [before.to_str().unwrap(), after.to_str().unwrap()];
    let said = text(&run(&["diff", folders[0], folders[1]]));
    for line in [
        "+ /etc/new\n",
        "+ /etc/new/file 4 B\n",
        "~ boot: cmdline.txt ",
    ] {
        assert!(said.contains(line), "“{line}” is not in: {said}");
    }
    let changes = said
        .lines()
        .filter(|line| line.trim_start().starts_with(['+', '-', '~']));
    assert_eq!(changes.count(), 3, "nothing else changed: {said}");
    // The other way round, as programs read it.
    let output = run(&["--json", "diff", folders[1], folders[0]]);
    let line = text(&output);
    let line = line
        .lines()
        .find(|line| line.contains("\"answer\""))
        .unwrap();
    let answer: serde_json::Value = serde_json::from_str(line).unwrap();
    let files = answer["answer"]["files"].as_array().unwrap();
    let gone: Vec<_> = files
        .iter()
        .filter(|file| file["after"].is_null())
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(gone, ["/etc/new", "/etc/new/file"]);

    // A plan names what it is that changed since.
    fs_err::write(path("overlays/ssh/files/etc/new/file"), "newer\n").unwrap();
    let said = text(&run(&[
        "plan",
        path("recipes/kvm.toml").to_str().unwrap(),
        "--lock",
        lock.to_str().unwrap(),
        "--out",
        path("out").to_str().unwrap(),
    ]));
    let line = |step: &str| {
        let mut lines = said.lines().map(str::trim_start);
        lines
            .find(|line| line.starts_with(step))
            .unwrap()
            .to_owned()
    };
    assert!(line("base").contains("unchanged"), "{said}");
    assert!(
        line("image").contains("/etc/new/file (overlay ssh) changed"),
        "{said}"
    );
}

/// Through a terminal of its own, as a person has one.
#[test]
fn a_shell_sees_the_tree_and_leaves_no_trace() {
    let lock = outputs("kvm").join("kvm-0.1.0.lock");
    let shell = format!(
        "'{}' shell '{}' --lock '{}'",
        program().display(),
        root().join("recipes/kvm.toml").display(),
        lock.display()
    );
    let session = |typed: &str| {
        let script =
            format!("printf '%s\\n' {typed} | script -qec \"{shell}\" /dev/null; echo status $?");
        tool("sh", &["-c", &script]).1
    };
    let said = session(
        "'dpkg --print-architecture' 'uname -m' 'touch /etc/trace' 'ls /etc/trace' 'exit 7'",
    );
    for part in ["arm64", "aarch64", "/etc/trace", "status 7"] {
        assert!(said.contains(part), "“{part}” is not in: {said}");
    }
    let said = session("'ls /etc/trace' 'exit 0'");
    assert!(said.contains("No such file"), "{said}");
}

#[test]
fn doctor_finds_nothing_missing_where_the_tests_run() {
    let output = run(&["doctor"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for check in [
        "owners",
        "namespaces",
        "emulation",
        "agent",
        "mirror",
        "cache",
    ] {
        assert!(said.contains(&format!("  ok   {check}")), "{check}: {said}");
    }
}

/// Nobody has no subordinate ids: that is said, with the command that helps.
#[test]
fn doctor_says_what_an_account_lacks() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let copy = folder.path().join("bakelite");
    fs_err::copy(program(), &copy).unwrap();
    assert!(tool("chmod", &["-R", "a+rX", folder.path().to_str().unwrap()]).0);
    let copy = copy.to_str().unwrap();
    let words = [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        copy,
        "--cache",
        "/nonexistent",
        "doctor",
    ];
    let (good, said) = tool("setpriv", &words);
    assert!(!good, "{said}");
    assert!(
        said.contains("  no   owners") && said.contains("subordinate ids"),
        "{said}"
    );
}
