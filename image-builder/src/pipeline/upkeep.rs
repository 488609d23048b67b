//! What is not building: a shell in the tree, and keeping the cache small.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::stages::{self, Stages};
use super::{BuildError, BuildOptions, Keys, open_store};
use crate::Host;
use crate::event::Sink;
use crate::recipe::Recipe;
use crate::sandbox::{self, Network};
use crate::worker::Task;
use crate::worker::program::Run;

/// Opens a shell in the recipe's tree of packages, made if needed. Changes are thrown away.
pub fn shell(
    recipe: &Recipe,
    host: &Host,
    options: &BuildOptions,
    sink: Sink<'_>,
) -> Result<i32, BuildError> {
    let lock = super::lock(recipe, host, options.lock.as_deref())?;
    let keys = Keys::of(recipe, host, &lock, options.emulation)?;
    let stages = Stages::begin(recipe, host, options, lock, keys, sink)?;
    let tools = stages.tools(sink)?;
    let base = stages.base(&tools, sink)?;
    let layer = stages.store.partial("shell-layer");
    let environment = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "xterm"),
        ("LC_ALL", "C.UTF-8"),
    ];
    let run = Run {
        confinement: stages.target(stages::layered(&base, &layer), &tools, Vec::new()),
        command: vec!["/bin/bash".into(), "--login".into()],
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        folder: "/".into(),
        log: None,
    };
    let answer = sandbox::run(host, Network::None, &Task::Run(run), sink);
    stages::remove(host, vec![layer])?;
    let answer = answer.map_err(|source| BuildError::Worker {
        step: "the shell",
        source,
    })?;
    Ok(answer.exit_code.unwrap_or(1))
}

/// Removes everything in the cache but the vault.
pub fn clear_cache(host: &Host) -> Result<(), BuildError> {
    stages::remove(
        host,
        entries(&host.cache)
            .into_iter()
            .filter(|path| !path.is_symlink() && !path.ends_with("vault"))
            .collect(),
    )
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Returns when something in the cache was last used: as noted, or when it was made. A tree's own time
/// is the image's; its inode's last change is when it was moved to its place.
fn last_use(path: &Path) -> std::io::Result<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    if let Ok(note) = fs_err::metadata(path.with_extension("used")) {
        return note.modified();
    }
    let seconds = fs_err::symlink_metadata(path)?.ctime().unsigned_abs();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Removes trees, results and frames that no build made or used since `age`. Returns how many.
pub fn collect_garbage(host: &Host, age: Duration) -> Result<usize, BuildError> {
    let _store = open_store(host)?;
    let limit =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(host.now).unwrap_or(0)) - age;
    let mut folders: Vec<PathBuf> = ["trees", "results", "published", "locks"]
        .map(|kind| host.cache_folder(kind))
        .into();
    folders.extend(entries(&host.cache_folder("frames")));
    let old: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| entries(folder))
        .filter(|path| last_use(path).is_ok_and(|time| time <= limit))
        .collect();
    let count = old.len();
    stages::remove(host, old)?;
    Ok(count)
}
