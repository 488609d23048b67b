//! Installs a set of packages: preinst, unpack, postinst, triggers.
//!
//! The order is that of a first installation: the essential packages with what they need are
//! unpacked and configured, then all others. Within a round every preinst runs before anything of
//! the round is unpacked, so that diversions hold.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::database::{Database, DatabaseError, State};
use super::script::{ScriptError, Scripts};
use super::triggers::{self, Pending};
use crate::unpack::{self, Archive, Tree, UnpackError};

/// Configured before all others: users, the top folders, the C library, the shell.
const FIRST: &[&str] = &["base-passwd", "base-files", "libc6", "dash", "debianutils"];

/// A package in the vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackageFile {
    /// Name.
    pub name: String,
    /// Path within the vault.
    pub path: PathBuf,
    /// Digest.
    pub sha256: Sha256Digest,
    /// Unpacked size in KiB, as the archive states it.
    pub installed_kib: u64,
}

/// Installation failed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A package could not be unpacked.
    #[error("cannot unpack")]
    Unpack(#[source] UnpackError),
    /// The database could not be written.
    #[error("cannot record the packages")]
    Database(#[source] DatabaseError),
    /// A script failed.
    #[error("cannot install")]
    Script(#[source] ScriptError),
    /// A file could not be written.
    #[error("cannot write the tree")]
    Io(#[source] io::Error),
}

impl From<UnpackError> for InstallError {
    fn from(error: UnpackError) -> Self {
        Self::Unpack(error)
    }
}
impl From<DatabaseError> for InstallError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}
impl From<ScriptError> for InstallError {
    fn from(error: ScriptError) -> Self {
        Self::Script(error)
    }
}
impl From<io::Error> for InstallError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Installs packages into the tree that this process is confined to.
#[derive(Debug)]
pub struct Installer {
    database: Database,
    tree: Tree,
    pending: Pending,
    /// The script runner, with the time each script took.
    pub scripts: Scripts,
    vault: PathBuf,
    threads: usize,
}

impl Installer {
    /// Starts with an empty tree.
    pub fn for_new_tree(vault: PathBuf, timestamp: i64, threads: usize) -> Self {
        Self {
            database: Database::default(),
            tree: Tree::default(),
            pending: Pending::default(),
            scripts: Scripts::new(timestamp),
            vault,
            threads,
        }
    }

    /// Goes on with a tree that has packages.
    pub fn for_tree(vault: PathBuf, timestamp: i64, threads: usize) -> Result<Self, InstallError> {
        Ok(Self {
            database: Database::read()?,
            ..Self::for_new_tree(vault, timestamp, threads)
        })
    }

    /// Opens and verifies packages, several at a time.
    pub fn open(&self, packages: &[PackageFile]) -> Result<Vec<Archive>, InstallError> {
        let slots: Vec<std::sync::Mutex<Option<Result<Archive, UnpackError>>>> = packages
            .iter()
            .map(|_| std::sync::Mutex::new(None))
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(p) = packages.get(number) else {
                            return;
                        };
                        let opened = unpack::open(
                            &p.name,
                            &self.vault.join(&p.path),
                            p.sha256,
                            p.installed_kib,
                        );
                        *slots[number].lock().expect("set once") = Some(opened);
                    }
                });
            }
        });
        let mut archives = Vec::new();
        for slot in slots {
            archives.push(
                slot.into_inner()
                    .expect("set once")
                    .expect("every package was opened")?,
            );
        }
        Ok(archives)
    }

    /// Unpacks the essential packages, before any script can run.
    pub fn unpack_first_round(
        &mut self,
        archives: Vec<Archive>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<String>, InstallError> {
        let controls: Vec<_> = archives
            .iter()
            .map(|a| (a.name.clone(), a.deb.control().clone()))
            .collect();
        let contents = self.tree.unpack(archives, self.threads, progress)?;
        self.tree.settle_folders()?;
        self.database.create()?;
        for ((name, control), contents) in controls.iter().zip(&contents) {
            self.database.add(name, control)?;
            self.database.set_contents(name, &contents.paths)?;
        }
        self.database.write_status()?;
        Ok(controls.into_iter().map(|(name, _)| name).collect())
    }

    /// Runs every preinst of packages that were unpacked already, then configures them.
    pub fn configure_first_round(&mut self, names: &[String]) -> Result<(), InstallError> {
        let order = self.order(names);
        for name in &order {
            self.scripts
                .maintainer(&self.database.entries[name], "preinst", &["install"])?;
        }
        self.configure(&order)?;
        self.process_triggers()
    }

    /// Runs every preinst of a later round, then unpacks.
    pub fn unpack_round(
        &mut self,
        archives: Vec<Archive>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<String>, InstallError> {
        let names: Vec<String> = archives
            .iter()
            .map(|archive| archive.name.clone())
            .collect();
        for archive in &archives {
            self.database.add(&archive.name, archive.deb.control())?;
        }
        for name in self.order(&names) {
            self.scripts
                .maintainer(&self.database.entries[&name], "preinst", &["install"])?;
            self.pending.incorporate(&self.database)?;
        }
        self.tree.read_diversions();
        let contents = self.tree.unpack(archives, self.threads, progress)?;
        self.tree.settle_folders()?;
        for contents in &contents {
            self.database
                .set_contents(&contents.name, &contents.paths)?;
        }
        for contents in &contents {
            self.pending
                .activate_files(&self.database, &contents.name, &contents.paths);
            self.pending.activate_own(&self.database, &contents.name);
        }
        self.database.write_status()?;
        Ok(names)
    }

    /// Configures the packages of a later round and runs the triggers.
    pub fn configure_round(&mut self, names: &[String]) -> Result<(), InstallError> {
        let order = self.order(names);
        self.configure(&order)?;
        self.process_triggers()?;
        triggers::write_interests(&self.database)?;
        self.database.write_status()?;
        Ok(())
    }

    /// Sets owners and modes of the folders that were mounted over.
    pub fn settle_mounted(&self) -> Result<(), InstallError> {
        Ok(self.tree.settle_mounted()?)
    }

    fn configure(&mut self, order: &[String]) -> Result<(), InstallError> {
        triggers::write_interests(&self.database)?;
        for name in order {
            self.set_state(name, State::HalfConfigured);
            if self.database.entries[name].info_path("postinst").exists() {
                self.database.write_status()?;
                self.scripts.maintainer(
                    &self.database.entries[name],
                    "postinst",
                    &["configure", ""],
                )?;
            }
            self.set_state(name, State::Installed);
            self.pending.incorporate(&self.database)?;
            self.pending.activate_own(&self.database, name);
        }
        self.database.write_status()?;
        Ok(())
    }

    fn process_triggers(&mut self) -> Result<(), InstallError> {
        while let Some((name, triggers)) = self.pending.next() {
            let entry = &self.database.entries[&name];
            self.scripts
                .maintainer(entry, "postinst", &["triggered", &triggers.join(" ")])?;
            self.pending.incorporate(&self.database)?;
        }
        Ok(())
    }

    fn set_state(&mut self, name: &str, state: State) {
        self.database
            .entries
            .get_mut(name)
            .expect("only known packages are configured")
            .state = state;
    }

    /// Orders packages so that each comes after what it depends on; cycles are cut where they close.
    fn order(&self, names: &[String]) -> Vec<String> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let first = FIRST.iter().copied().filter(|name| wanted.contains(name));
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in first.chain(wanted.iter().copied()) {
            self.visit(name, &wanted, &mut seen, &mut order);
        }
        order
    }

    fn visit<'s>(
        &'s self,
        name: &'s str,
        wanted: &BTreeSet<&str>,
        seen: &mut BTreeSet<&'s str>,
        order: &mut Vec<String>,
    ) {
        if !wanted.contains(name) || !seen.insert(name) {
            return;
        }
        for group in &self.database.entries[name].depends {
            for needed in self.database.satisfying(group) {
                self.visit(needed, wanted, seen, order);
            }
        }
        order.push(name.to_owned());
    }
}
