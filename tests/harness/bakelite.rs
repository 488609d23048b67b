//! Runs `bakelite` as a person would, with a cleared environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Returns the workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .to_owned()
}

/// Returns the program under test; `scripts/test` builds it first.
pub fn program() -> PathBuf {
    root().join("target/release/bakelite")
}

/// Returns the outputs of a recipe that `scripts/test` built.
pub fn outputs(recipe: &str) -> PathBuf {
    root().join("out").join(recipe).join("0.1.0")
}

/// Runs bakelite and returns what it said.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program was built")
}

/// Prepares bakelite with a cleared environment.
#[expect(
    clippy::disallowed_methods,
    reason = "tests start programs and read the environment"
)]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().current_dir(root());
    for name in [
        "HOME",
        "PATH",
        "SSL_CERT_FILE",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "XDG_CACHE_HOME",
    ] {
        if let Ok(value) = std::env::var(name) {
            command.env(name, value);
        }
    }
    command
}

/// Builds a version of the probe image whose recipe is another than that of the project. Returns the folder of its outputs.
pub fn build_probe(version: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let recipe = fs_err::read_to_string(root().join("recipes/kvm-probe.toml")).expect("a recipe");
    let recipe = recipe.replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
    // Below the project: that is where the overlays are looked for.
    let folder = root().join("out/recipes");
    fs_err::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("kvm-probe-{version}.toml"));
    fs_err::write(&file, change(recipe)).expect("a file");
    let (file, out) = (file.display().to_string(), root().join("out/variants"));
    let output = run(&["build", &file, "--out", &out.display().to_string()]);
    assert!(output.status.success(), "{}", text(&output));
    out.join("kvm-probe").join(version)
}

/// Copies the project's own files, as git knows them, into `folder`.
pub fn copy_project(folder: &Path) {
    let listing = answer(
        "git",
        &[
            "-C",
            root().to_str().expect("UTF-8"),
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    );
    for name in listing.split_terminator('\0') {
        let (from, to) = (root().join(name), folder.join(name));
        fs_err::create_dir_all(to.parent().expect("below the folder")).expect("a new folder");
        if from.is_symlink() {
            let target = fs_err::read_link(&from).expect("a link");
            fs_err::os::unix::fs::symlink(target, to).expect("a new link");
        } else if from.is_file() {
            fs_err::copy(&from, to).expect("a readable file");
        }
    }
}

/// Returns stdout and stderr as one text.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs another program and returns whether it succeeded, and what it said.
#[expect(clippy::disallowed_methods, reason = "tests start programs")]
pub fn tool(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output();
    match output {
        Ok(output) => (output.status.success(), text(&output)),
        Err(error) => (false, format!("cannot start {program}: {error}")),
    }
}

/// Runs another program that must succeed, and returns its stdout alone.
#[expect(clippy::disallowed_methods, reason = "tests start programs")]
pub fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program is installed");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        text(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the cache that `scripts/test` filled.
#[expect(clippy::disallowed_methods, reason = "tests read the environment")]
pub fn cache() -> String {
    let base = std::env::var("XDG_CACHE_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache")));
    base.expect("a home folder") + "/bakelite"
}
