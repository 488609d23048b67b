//! Settings of one version for the next: which programs of the image were run on a copy of the settings, and which still must.
//!
//! A version is tried with a copy of its own, so a migration may do to it what it likes: going back finds the copy before. A copy
//! that a newer version has migrated is none for an older one.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, say};

/// The image's migrations, in its root: programs, run in the order of their names.
const PROGRAMS: &str = "usr/lib/bakelite/migrate.d";
/// Names of those that were run, in a copy of the settings.
const DONE: &str = "migrations";
/// A program that takes longer is ended.
const LONGEST: Duration = Duration::from_mins(1);

/// Names of migrations.
pub(crate) type Names = BTreeSet<String>;

/// What is still to be done to the settings that are shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    programs: Vec<String>,
    /// All that were run then.
    all: Names,
    /// The copy of the settings, from the root that comes.
    copy: PathBuf,
}

/// Returns the image's migrations.
pub(crate) fn of_image(root: &Path) -> io::Result<Names> {
    let entries = match fs_err::read_dir(root.join(PROGRAMS)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Names::new()),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<fs_err::DirEntry>| Ok(entry?.file_name().into_string().ok());
    entries.map(name).filter_map(Result::transpose).collect()
}

/// Returns the migrations that a copy has seen.
pub(crate) fn of_copy(copy: &Path) -> io::Result<Names> {
    match fs_err::read_to_string(copy.join(DONE)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Names::new()),
        Err(error) => Err(error),
    }
}

/// Notes in a copy which migrations it has seen. Returns when the disk has it.
pub(crate) fn note(copy: &Path, done: &Names) -> io::Result<()> {
    let names: Vec<&str> = done.iter().map(String::as_str).collect();
    let part = copy.join(format!("{DONE}.part"));
    fs_err::write(&part, names.join("\n"))?;
    fs_err::File::open(&part)?.sync_all()?;
    fs_err::rename(&part, copy.join(DONE))?;
    fs_err::File::open(copy)?.sync_all()
}

/// Returns the first of these copies that a version with these migrations can use: the newest that has seen none it does not know.
pub(crate) fn usable<'c>(copies: &[&'c Path], image: &Names) -> io::Result<Option<&'c Path>> {
    for copy in copies.iter().filter(|copy| copy.is_dir()) {
        if of_copy(copy)?.is_subset(image) {
            return Ok(Some(copy));
        }
    }
    Ok(None)
}

impl Missing {
    /// Compares what a copy has seen with the image. `within` is where the copy lies in the root that comes.
    pub(crate) fn of(copy: &Path, within: PathBuf, image: &Names) -> io::Result<Self> {
        let done = of_copy(copy)?;
        Ok(Self {
            programs: image.difference(&done).cloned().collect(),
            all: done.union(image).cloned().collect(),
            copy: within,
        })
    }

    /// Runs what is missing, in the new root, before anything else runs there, and tells of each. The first that fails ends it.
    pub(crate) fn run(&self, root: &Path, begins: &mut impl FnMut()) -> Result<(), Failure> {
        for name in &self.programs {
            begins();
            say(&format!("the settings are migrated: {name}"));
            let run = ends_well(
                &root.join(PROGRAMS).join(name),
                &root.join("run/bakelite-migration"),
            );
            run.map_err(|why| format!("the settings could not be migrated: {name}: {why}"))?;
        }
        if !self.programs.is_empty() {
            note(&root.join(&self.copy), &self.all)?;
        }
        Ok(())
    }
}

/// Runs a program, which complains into a file. Returns the last line of that.
#[expect(
    clippy::disallowed_methods,
    reason = "a program of the verified root file system"
)]
fn ends_well(program: &Path, said: &Path) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    // A pipe that nobody reads would stop it.
    let file = fs_err::File::create(said).map_err(words)?;
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file.into_file())
        .spawn()
        .map_err(words)?;
    let until = Instant::now() + LONGEST;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(words)? {
            break status;
        }
        if Instant::now() >= until {
            child.kill().and_then(|()| child.wait()).map_err(words)?;
            return Err(format!("it took more than {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = fs_err::read(said).unwrap_or_default();
    drop(fs_err::remove_file(said));
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().next_back();
    Err(last.map_or_else(|| status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A root with migrations, and a copy of the settings that has seen some.
    fn root(programs: &[(&str, &str)], done: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for inside in [PROGRAMS, "run", "data/settings/7"] {
            fs_err::create_dir_all(at.join(inside)).unwrap();
        }
        for (name, script) in programs {
            let path = at.join(PROGRAMS).join(name);
            let log = at.join("log").display().to_string();
            let text = format!("#!/bin/sh\nset -e\n{}\n", script.replace("LOG", &log));
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let copy = at.join("data/settings/7");
        note(&copy, &names(done)).unwrap();
        (folder, copy)
    }

    fn run(root: &Path, copy: &Path) -> Result<(), String> {
        let image = of_image(root).unwrap();
        let missing = Missing::of(copy, "data/settings/7".into(), &image).unwrap();
        missing
            .run(root, &mut || {})
            .map_err(|error| error.to_string())
    }

    fn log(root: &Path) -> String {
        fs_err::read_to_string(root.join("log")).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_runs_once_in_order() {
        let programs = ["2-b", "1-a", "3-c"].map(|name| (name, "echo $0 >>LOG"));
        let (folder, copy) = root(&programs, &["1-a"]);
        run(folder.path(), &copy).unwrap();
        run(folder.path(), &copy).unwrap();
        let log = log(folder.path());
        let ran: Vec<&str> = log
            .lines()
            .map(|line| line.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(ran, ["2-b", "3-c"]);
        assert_eq!(of_copy(&copy).unwrap(), names(&["1-a", "2-b", "3-c"]));
    }

    #[test]
    fn one_that_fails_ends_it_says_why_and_nothing_is_noted() {
        let programs = [
            ("1", "echo 1 >>LOG"),
            ("2", "echo first >&2; echo the reason >&2; exit 3"),
            ("3", "echo 3 >>LOG"),
        ];
        let (folder, copy) = root(&programs, &[]);
        let error = run(folder.path(), &copy).unwrap_err();
        assert_eq!(error, "the settings could not be migrated: 2: the reason");
        assert_eq!(
            (log(folder.path()).as_str(), of_copy(&copy).unwrap()),
            ("1\n", Names::new())
        );
    }

    #[test]
    fn a_copy_of_a_newer_version_is_none_for_an_older_one() {
        let (folder, newer) = root(&[], &["1", "2"]);
        let older = folder.path().join("data/settings/6");
        fs_err::create_dir(&older).unwrap();
        note(&older, &names(&["1"])).unwrap();
        let copies = [newer.as_path(), older.as_path()];
        let find = |image: &[&str]| usable(&copies, &names(image)).unwrap();
        assert_eq!(find(&["1", "2", "3"]), Some(newer.as_path()));
        assert_eq!(find(&["1"]), Some(older.as_path()));
        assert_eq!(find(&[]), None);
        // One that was made before there were migrations has seen none.
        fs_err::remove_file(older.join(DONE)).unwrap();
        assert_eq!(find(&[]), Some(older.as_path()));
    }
}
