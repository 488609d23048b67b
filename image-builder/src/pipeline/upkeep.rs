//! What is not building: a shell in the tree, and keeping the cache small.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{BuildError, BuildOptions, Keys, Vault, open_store, stages};
use crate::Host;
use crate::download::Downloader;
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
    let store = open_store(host)?;
    let vault = Vault::new(host);
    vault.fill(
        host,
        &Downloader::new()?,
        &keys.needed_packages(host, &lock),
        sink,
    )?;
    let tools = stages::unpacked_tree(host, &store, &vault, "tools", &lock.tools, sink)?;
    let base = stages::base(
        host,
        &store,
        &vault,
        &lock,
        &keys,
        &tools,
        options.emulation,
        sink,
    )?;
    let layer = store.partial("shell-layer");
    let environment = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "xterm"),
        ("LC_ALL", "C.UTF-8"),
    ];
    let run = Run {
        confinement: stages::shell_confinement(host, &base, &layer, &tools),
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
    let entries = fs_err::read_dir(&host.cache)?
        .flatten()
        .map(|entry| entry.path());
    stages::remove(
        host,
        entries
            .filter(|path| !path.is_symlink() && !path.ends_with("vault"))
            .collect(),
    )
}

/// Removes trees and results that were made longer ago than `age`. Returns how many.
pub fn collect_garbage(host: &Host, age: Duration) -> Result<usize, BuildError> {
    let _store = open_store(host)?;
    let limit =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(host.now).unwrap_or(0)) - age;
    let mut old: Vec<PathBuf> = Vec::new();
    for kind in ["trees", "results", "published", "locks"] {
        for entry in fs_err::read_dir(host.cache_folder(kind))
            .into_iter()
            .flatten()
            .flatten()
        {
            // A tree's own time is the image's; the time of its inode's last change is when it was moved here.
            use std::os::unix::fs::MetadataExt as _;
            let changed = entry.metadata().map(|data| {
                SystemTime::UNIX_EPOCH + Duration::from_secs(data.ctime().unsigned_abs())
            });
            if changed.is_ok_and(|time| time < limit) {
                old.push(entry.path());
            }
        }
    }
    let count = old.len();
    stages::remove(host, old)?;
    Ok(count)
}
