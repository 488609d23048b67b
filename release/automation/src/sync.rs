//! Carries the journal between people by git, on a branch of its own.
//!
//! The journal's folder is a repository with one branch, beside the product's. Every event is a file of its
//! own, so that work of two people merges without a conflict; a commit that changes or deletes an event is
//! refused and named, and so is a branch whose history was rewritten.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The branch.
pub const BRANCH: &str = "bakelite-release";

/// How often others may be quicker before we give up.
const TRIES: usize = 8;

/// The journal could not be carried.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// git cannot be started.
    #[error("cannot start git")]
    Start(#[source] io::Error),
    /// The journal's folder cannot be made.
    #[error("cannot make the journal's folder")]
    Folder(#[source] io::Error),
    /// git failed.
    #[error("git {what} failed: {output}")]
    Git {
        /// Its command.
        what: String,
        /// What it said.
        output: String,
    },
    /// A commit did what no commit may.
    #[error("somebody changed or deleted what was recorded, and nothing was merged:\n  {}", events.join("\n  "))]
    Tampered {
        /// What was done, by whom.
        events: Vec<String>,
    },
    /// The branch lost commits.
    #[error("the branch {BRANCH} was rewritten: {old} was there before and is gone from {remote}")]
    Rewritten {
        /// Commit that was there.
        old: String,
        /// Remote.
        remote: String,
    },
    /// What came in does not verify.
    #[error("what others recorded does not verify, and nothing was pushed:\n  {}", problems.join("\n  "))]
    NotVerified {
        /// Problems by file.
        problems: Vec<String>,
    },
    /// Others were quicker each time.
    #[error("others pushed {TRIES} times while we did: try again")]
    Busy,
}

/// What was carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Files that came in.
    pub received: usize,
    /// Files that went out.
    pub sent: usize,
}

/// Makes a command quiet and independent of what this account likes.
#[expect(
    clippy::disallowed_methods,
    reason = "git is the transport that people have credentials for"
)]
fn git(folder: &Path, words: &[&str]) -> Result<Output, SyncError> {
    Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "core.quotePath=false",
            "-c",
            "commit.gpgSign=false",
            "-c",
            "core.autocrlf=false",
        ])
        .args(words)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .output()
        .map_err(SyncError::Start)
}

fn must(folder: &Path, words: &[&str]) -> Result<String, SyncError> {
    let output = git(folder, words)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(SyncError::Git {
        what: words.first().copied().unwrap_or_default().to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Returns the address that a product's repository is fetched from.
pub fn remote_of(project: &Path) -> Result<String, SyncError> {
    must(project, &["remote", "get-url", "origin"])
}

/// Carries the journal in `folder`: what is new here goes out, what is new there comes in. `verify` looks at
/// the folder when both are together, and says what is wrong.
pub fn sync(
    folder: &Path,
    remote: &str,
    person: &str,
    verify: &dyn Fn() -> Vec<String>,
) -> Result<Carried, SyncError> {
    prepare(folder, remote)?;
    let mut carried = Carried {
        sent: commit(folder, person)?,
        received: 0,
    };
    for _ in 0..TRIES {
        carried.received += fetch_and_merge(folder, remote, person)?;
        let problems = verify();
        if !problems.is_empty() {
            return Err(SyncError::NotVerified { problems });
        }
        if git(folder, &["rev-parse", "--verify", "-q", "HEAD"])?
            .stdout
            .is_empty()
        {
            return Ok(carried);
        }
        let refspec = format!("HEAD:refs/heads/{BRANCH}");
        let output = git(folder, &["push", "-q", "origin", &refspec])?;
        if output.status.success() {
            return Ok(carried);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let is_race = [
            "fetch first",
            "non-fast-forward",
            "cannot lock ref",
            "failed to update ref",
            "reference already exists",
        ];
        if !is_race.iter().any(|text| said.contains(text)) {
            return Err(SyncError::Git {
                what: "push".into(),
                output: said.trim().to_owned(),
            });
        }
    }
    Err(SyncError::Busy)
}

fn prepare(folder: &Path, remote: &str) -> Result<(), SyncError> {
    if !folder.join(".git").exists() {
        fs_err::create_dir_all(folder).map_err(SyncError::Folder)?;
        must(folder, &["init", "-q", "-b", BRANCH])?;
        // What an author was about to write when the power went was never an event.
        let ignored = folder.join(".git/info/exclude");
        fs_err::create_dir_all(folder.join(".git/info")).map_err(SyncError::Folder)?;
        fs_err::write(ignored, ".event-*\n").map_err(SyncError::Folder)?;
    }
    let known = git(folder, &["remote", "get-url", "origin"])?;
    let known = String::from_utf8_lossy(&known.stdout).trim().to_owned();
    if known.is_empty() {
        must(folder, &["remote", "add", "origin", remote])?;
    } else if known != remote {
        must(folder, &["remote", "set-url", "origin", remote])?;
    }
    Ok(())
}

/// Records what is new here. Returns how many files.
fn commit(folder: &Path, person: &str) -> Result<usize, SyncError> {
    must(folder, &["add", "--all", "runs"]).or_else(|error| {
        if folder.join("runs").exists() {
            Err(error)
        } else {
            Ok(String::new())
        }
    })?;
    let changed = must(
        folder,
        &["diff", "--cached", "--name-status", "--no-renames"],
    )?;
    let bad: Vec<String> = changed
        .lines()
        .filter(|line| !line.starts_with('A'))
        .map(|line| format!("here: {}", words(line)))
        .collect();
    if !bad.is_empty() {
        must(folder, &["reset", "-q"])?;
        return Err(SyncError::Tampered { events: bad });
    }
    let count = changed.lines().count();
    if count > 0 {
        let message = format!("{count} files by {person}");
        commit_as(folder, person, &["commit", "-q", "-m", &message])?;
    }
    Ok(count)
}

/// Git's author is only for those who read the log; who did what is in the signed events.
fn commit_as(folder: &Path, person: &str, arguments: &[&str]) -> Result<(), SyncError> {
    let name = format!("user.name={person}");
    let mail = format!("user.email={person}@release.invalid");
    let mut all = vec!["-c", &name, "-c", &mail];
    all.extend(arguments);
    must(folder, &all).map(drop)
}

fn fetch_and_merge(folder: &Path, remote: &str, person: &str) -> Result<usize, SyncError> {
    let tracking = format!("refs/remotes/origin/{BRANCH}");
    let before = resolve(folder, &tracking)?;
    let refspec = format!("+refs/heads/{BRANCH}:{tracking}");
    let fetched = git(folder, &["fetch", "-q", "origin", &refspec])?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr);
        if said.contains("couldn't find remote ref") && before.is_none() {
            return Ok(0);
        }
        return Err(SyncError::Git {
            what: "fetch".into(),
            output: said.trim().to_owned(),
        });
    }
    let Some(theirs) = resolve(folder, &tracking)? else {
        return Ok(0);
    };
    if let Some(old) = before.filter(|old| *old != theirs) {
        let is_kept = git(folder, &["merge-base", "--is-ancestor", &old, &theirs])?;
        if !is_kept.status.success() {
            // The next look must find it again.
            must(folder, &["update-ref", &tracking, &old])?;
            return Err(SyncError::Rewritten {
                old,
                remote: remote.to_owned(),
            });
        }
    }
    let ours = resolve(folder, "HEAD")?;
    let known = ours.as_deref().unwrap_or_default();
    let range = if known.is_empty() {
        theirs.clone()
    } else {
        format!("{known}..{theirs}")
    };
    refuse_changes(folder, &range)?;
    let Some(ours) = ours else {
        must(folder, &["reset", "-q", "--hard", &theirs])?;
        return count_files(folder, &theirs);
    };
    let arrived = must(
        folder,
        &[
            "diff",
            "--name-only",
            "--no-renames",
            "--diff-filter=A",
            &ours,
            &theirs,
        ],
    )?;
    let merge = [
        "merge",
        "-q",
        "--no-edit",
        "--allow-unrelated-histories",
        &theirs,
    ];
    if let Err(error) = commit_as(folder, person, &merge) {
        must(folder, &["merge", "--abort"])?;
        return Err(error);
    }
    Ok(arrived.lines().count())
}

fn resolve(folder: &Path, name: &str) -> Result<Option<String>, SyncError> {
    let output = git(folder, &["rev-parse", "--verify", "-q", name])?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((!text.is_empty()).then_some(text))
}

fn count_files(folder: &Path, commit: &str) -> Result<usize, SyncError> {
    Ok(must(folder, &["ls-tree", "-r", "--name-only", commit])?
        .lines()
        .count())
}

/// Every commit may only add files: looked at one by one, so that what one deletes and another puts back shows.
fn refuse_changes(folder: &Path, range: &str) -> Result<(), SyncError> {
    let log = must(
        folder,
        &[
            "log",
            "--no-merges",
            "--no-renames",
            "--name-status",
            "--diff-filter=a",
            "--format=commit %h by %an",
            range,
        ],
    )?;
    let mut commit = "";
    let mut events = Vec::new();
    for line in log.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("commit ") {
            Some(name) => commit = name,
            None => events.push(format!("commit {commit}: {}", words(line))),
        }
    }
    if events.is_empty() {
        Ok(())
    } else {
        Err(SyncError::Tampered { events })
    }
}

/// `D\truns/…` → `deletes runs/…`
fn words(line: &str) -> String {
    let (status, name) = line.split_once('\t').unwrap_or(("", line));
    let verb = match status.chars().next() {
        Some('D') => "deletes",
        _ => "changes",
    };
    format!("{verb} {}", PathBuf::from(name).display())
}
