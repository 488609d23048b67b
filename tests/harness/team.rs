//! A team with a product's repository: everybody has a clone of it, and an SSH key of their own.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::bakelite::{command, text, tool};

/// Five people for all seven roles.
pub const FIVE: &[(&str, &[&str])] = &[
    ("dana", &["developer", "release-manager"]),
    ("dora", &["developer"]),
    ("sam", &["support-engineer", "operations"]),
    ("carl", &["customer-service", "marketing"]),
    ("olga", &["product-owner"]),
];

/// The team.
#[derive(Debug)]
pub struct Team {
    folder: tempfile::TempDir,
    people: Vec<String>,
    environment: RefCell<Vec<(String, String)>>,
    time: RefCell<Option<String>>,
}

/// Runs git, which must succeed.
pub fn git(folder: &Path, words: &[&str]) -> String {
    let mut all = vec!["-C", folder.to_str().expect("UTF-8")];
    all.extend(["-c", "user.name=Test", "-c", "user.email=test@example.com"]);
    all.extend(words);
    let (good, said) = tool("git", &all);
    assert!(good, "git {words:?}: {said}");
    said
}

impl Team {
    /// Makes a repository with the template that comes with bakelite, changed by `change`, and a clone for
    /// everybody.
    pub fn new(people: &[(&str, &[&str])], change: impl FnOnce(&Path)) -> Self {
        let team = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            people: people.iter().map(|(name, _)| (*name).to_owned()).collect(),
            environment: RefCell::default(),
            time: RefCell::default(),
        };
        let origin = team.origin();
        fs_err::create_dir(&origin).expect("a new folder");
        git(&origin, &["init", "-q", "--bare", "-b", "main"]);
        let first = team.clone_of(people[0].0);
        git(
            team.folder.path(),
            &["clone", "-q", "origin", first.to_str().expect("UTF-8")],
        );
        git(&first, &["checkout", "-q", "-b", "main"]);
        let mut written = String::new();
        for (name, roles) in people {
            let key = team.key(name);
            let key_text = key.to_str().expect("UTF-8");
            let (good, said) = tool(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", key_text],
            );
            assert!(good, "{said}");
            let public = fs_err::read_to_string(key.with_extension("pub")).expect("a key");
            let public = public.trim();
            written.push_str(&format!(
                "[people.{name}]\nroles = {roles:?}\nkeys = [{public:?}]\n"
            ));
        }
        team.says(people[0].0, &["init"]);
        fs_err::write(first.join("release/template/people.toml"), written).expect("a new file");
        change(&first);
        git(&first, &["add", "-A"]);
        git(&first, &["commit", "-q", "-m", "the release"]);
        git(&first, &["push", "-q", "origin", "main"]);
        for (name, _) in &people[1..] {
            let clone = team.clone_of(name);
            git(
                team.folder.path(),
                &["clone", "-q", "origin", clone.to_str().expect("UTF-8")],
            );
        }
        team
    }

    /// Returns the bare repository that everybody's clone comes from.
    pub fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    /// Returns somebody's clone.
    pub fn clone_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("clone-{name}"))
    }

    /// Returns somebody's private key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("key-{name}"))
    }

    /// Sets a variable for all commands from here.
    pub fn set(&self, name: &str, value: &str) {
        self.environment
            .borrow_mut()
            .push((name.to_owned(), value.to_owned()));
    }

    /// Sets everybody's clock: `2026-12-01 10:00:00`, in UTC. It goes on from there with each command.
    pub fn clock(&self, time: &str) {
        *self.time.borrow_mut() = Some(format!("@{time}"));
    }

    fn prepare(&self, name: &str, words: &[&str]) -> Command {
        let key = self.key(name);
        let mut all = vec!["release", "--key", key.to_str().expect("UTF-8")];
        all.extend(words);
        let mut prepared = command(&all);
        if let Some(time) = &*self.time.borrow() {
            let library = format!(
                "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1",
                std::env::consts::ARCH
            );
            // Waiting goes on as ever; only the date is another one.
            prepared
                .env("LD_PRELOAD", library)
                .env("FAKETIME", time)
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("TZ", "UTC");
        }
        prepared.current_dir(self.clone_of(name));
        for (name, value) in &*self.environment.borrow() {
            prepared.env(name, value);
        }
        prepared
    }

    /// Runs a release command in somebody's clone.
    pub fn tries(&self, name: &str, words: &[&str]) -> Output {
        self.prepare(name, words).output().expect("it starts")
    }

    /// Runs a release command through another program, such as strace.
    pub fn tries_under(
        &self,
        program: &str,
        arguments: &[&str],
        name: &str,
        words: &[&str],
    ) -> Output {
        let prepared = self.prepare(name, words);
        let mut wrapped = wrap(&prepared, program, arguments);
        wrapped.current_dir(self.clone_of(name));
        wrapped.output().expect("it starts")
    }

    /// Starts a release command and does not wait.
    pub fn starts(&self, name: &str, words: &[&str]) -> Child {
        self.prepare(name, words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts")
    }

    /// Runs a release command that must succeed.
    pub fn says(&self, name: &str, words: &[&str]) -> String {
        let output = self.tries(name, words);
        let said = text(&output);
        assert!(output.status.success(), "{name}: {words:?}: {said}");
        said
    }

    /// Runs a release command that must fail, and say why.
    pub fn is_refused(&self, name: &str, words: &[&str], part: &str) {
        let output = self.tries(name, words);
        let said = text(&output);
        assert!(
            !output.status.success(),
            "{name}: {words:?} was accepted: {said}"
        );
        assert!(said.contains(part), "“{part}” is not in: {said}");
    }

    /// Carries everybody's journal to everybody.
    pub fn sync(&self) {
        for _ in 0..2 {
            for name in &self.people {
                self.says(name, &["sync"]);
            }
        }
    }

    /// Says something as one person; everybody hears of it.
    pub fn does(&self, name: &str, words: &[&str]) -> String {
        self.says(name, &["sync"]);
        let said = self.says(name, words);
        self.says(name, &["sync"]);
        said
    }
}

/// The same command, run by another program.
#[expect(clippy::disallowed_methods, reason = "tests start programs")]
fn wrap(inner: &Command, program: &str, arguments: &[&str]) -> Command {
    let mut outer = Command::new(program);
    outer
        .args(arguments)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer
}
