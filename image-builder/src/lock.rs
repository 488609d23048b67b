//! The lock: what a recipe means exactly. Written as TOML, stable and readable; by archive, suite
//! and pool path, never by host.

use std::collections::BTreeMap;
use std::path::Path;

use apt_repository::solver::{self, SolveError};
use apt_repository::{DebVersion, Package, Universe};
use content_digest::{DigestBuilder, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::Host;
use crate::download::{DownloadError, Downloader};
use crate::index::{self, IndexError, VerifiedSource};
use crate::recipe::Recipe;
use crate::store::write_atomically;

/// The architecture of every image.
pub const TARGET: &str = "arm64";
/// Packages that make apt itself usable on the device.
const BASE: &[&str] = &["apt"];
/// Programs that the build runs on its own machine: they come from the same suite, so the host's
/// versions do not matter, and they can stand in for the target's own while scripts run.
pub const TOOLS: &[&str] = &[
    "base-files",
    "bash",
    "coreutils",
    "cpio",
    "dash",
    "debianutils",
    "diffutils",
    "dosfstools",
    "dpkg",
    "e2fsprogs",
    "erofs-utils",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "hostname",
    "kmod",
    "libc-bin",
    "mawk",
    "mtools",
    "openssh-client",
    "openssl",
    "passwd",
    "perl-base",
    "qemu-user",
    "sed",
    "systemd",
    "tar",
    "udev",
    "util-linux",
    "xz-utils",
    "zstd",
];
/// The cross compiler for the agent.
const TOOLCHAIN: &[&str] = &[
    "base-files",
    "bash",
    "coreutils",
    "gcc-aarch64-linux-gnu",
    "gcc",
    "libc6-dev",
    "make",
    "ca-certificates",
];
/// The target's headers and libraries that the agent is linked with.
const SYSROOT: &[&str] = &[
    "base-files",
    "libc6-dev",
    "libgcc-14-dev",
    "libopenh264-dev",
    "libssl-dev",
    "libturbojpeg0-dev",
];
/// The machine that `bakelite boot` starts.
const EMULATOR: &[&str] = &["base-files", "qemu-system-arm", "ipxe-qemu"];

/// Everything that a recipe means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// Always 1.
    pub schema: u32,
    /// Digest of what was asked for: packages, sources, keys.
    pub recipe: Sha256Digest,
    /// Debian architecture of the build machine that the tools are for.
    pub host_architecture: String,
    /// Date of the first source's release, in seconds since 1970: the newest time in the image.
    pub timestamp: i64,
    /// The releases that the packages were chosen from.
    pub releases: Vec<LockedRelease>,
    /// Packages of the image.
    pub image: Vec<LockedPackage>,
    /// Packages of the build tools.
    pub tools: Vec<LockedPackage>,
    /// Packages of the cross compiler; empty without an agent.
    #[serde(default)]
    pub toolchain: Vec<LockedPackage>,
    /// Packages of the agent's sysroot; empty without an agent.
    #[serde(default)]
    pub sysroot: Vec<LockedPackage>,
    /// Packages of the emulator.
    #[serde(default)]
    pub emulator: Vec<LockedPackage>,
}

/// A release that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedRelease {
    /// Archive name.
    pub archive: String,
    /// Suite.
    pub suite: String,
    /// `Date:`, as RFC 3339.
    pub date: String,
    /// Digest of `InRelease`.
    pub sha256: Sha256Digest,
    /// Key that signed it.
    pub key: String,
}

/// A package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Name.
    pub name: String,
    /// Version.
    pub version: DebVersion,
    /// Architecture, or `all`.
    pub architecture: String,
    /// Archive name.
    pub archive: String,
    /// Path below the archive's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256Digest,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// Unpacked size in KiB, as the archive states it.
    pub installed_kib: u64,
    /// When the archive was seen with it, as snapshot archives write times.
    pub seen: String,
    /// Mirror of last resort, for archives that the host knows no mirror of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

/// A lock cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The indexes cannot be had.
    #[error("cannot read the package indexes")]
    Index(#[source] IndexError),
    /// The HTTP client cannot be set up.
    #[error("cannot download")]
    Download(#[source] DownloadError),
    /// The packages cannot be installed together.
    #[error("cannot resolve the {set} packages")]
    Solve {
        /// Which set.
        set: &'static str,
        /// Why.
        #[source]
        source: SolveError,
    },
    /// The lock file cannot be read or written.
    #[error("cannot read or write the lock")]
    Io(#[source] std::io::Error),
    /// The lock file is malformed.
    #[error("the lock {path} is malformed")]
    Parse {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The lock is of another recipe, or of an older state of this one.
    #[error(
        "the lock {path} does not fit the recipe: packages, sources or keys were changed since"
    )]
    Stale {
        /// The file.
        path: String,
    },
    /// The lock was made on a machine of another architecture.
    #[error("the lock {path} holds build tools for {found}, but this machine is {expected}")]
    OtherHost {
        /// The file.
        path: String,
        /// Architecture found.
        found: String,
        /// Architecture of this machine.
        expected: String,
    },
}

impl Lock {
    /// Resolves the recipe against the archives as they are now. An unchanged archive and recipe
    /// give the lock that was made before, without reading the indexes again.
    pub fn resolve(recipe: &Recipe, host: &Host) -> Result<Self, LockError> {
        let downloader = Downloader::new().map_err(LockError::Download)?;
        let sources = index::verify_releases(host, &downloader, &recipe.sources())
            .map_err(LockError::Index)?;
        let mut key = DigestBuilder::new();
        key.part("lock 6");
        for list in [TOOLS, TOOLCHAIN, SYSROOT, EMULATOR, BASE] {
            key.part(list.join(" "));
        }
        key.part(recipe.package_digest().as_bytes())
            .part(&host.architecture)
            .part([u8::from(recipe.agent)]);
        for source in &sources {
            key.part(source.digest.as_bytes());
        }
        let known = host.cache_folder("locks").join(key.finish().to_string());
        if let Ok(lock) = Self::read(&known) {
            return Ok(lock);
        }
        let load = |architecture| {
            index::load_universe(host, &downloader, &sources, architecture)
                .map_err(LockError::Index)
        };
        let target = load(TARGET)?;
        let image = solve_image(recipe, &target, &sources)?;
        let sysroot = if recipe.agent {
            solve("sysroot", &target, SYSROOT, &sources)?
        } else {
            Vec::new()
        };
        drop(target);
        let native = load(&host.architecture)?;
        let lock = Self {
            schema: 1,
            recipe: recipe.package_digest(),
            host_architecture: host.architecture.clone(),
            timestamp: sources.first().map_or(0, |source| source.release.date),
            releases: sources.iter().map(locked_release).collect(),
            image,
            tools: solve("tools", &native, TOOLS, &sources)?,
            toolchain: if recipe.agent {
                solve("toolchain", &native, TOOLCHAIN, &sources)?
            } else {
                Vec::new()
            },
            sysroot,
            emulator: solve("emulator", &native, EMULATOR, &sources)?,
        };
        fs_err::create_dir_all(host.cache_folder("locks")).map_err(LockError::Io)?;
        lock.write(&known)?;
        Ok(lock)
    }

    /// Reads a lock for `recipe`, and refuses one that does not fit it.
    pub fn read_for(path: &Path, recipe: &Recipe, host: &Host) -> Result<Self, LockError> {
        let lock = Self::read(path)?;
        let path = path.display().to_string();
        if lock.recipe != recipe.package_digest() {
            return Err(LockError::Stale { path });
        }
        if lock.host_architecture != host.architecture {
            let (found, expected) = (lock.host_architecture, host.architecture.clone());
            return Err(LockError::OtherHost {
                path,
                found,
                expected,
            });
        }
        Ok(lock)
    }

    /// Reads a lock.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = fs_err::read_to_string(path).map_err(LockError::Io)?;
        let fail = |source| LockError::Parse {
            path: path.display().to_string(),
            source: Box::new(source),
        };
        toml::from_str(&text).map_err(fail)
    }

    /// Writes the lock.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        write_atomically(path, self.to_text().as_bytes()).map_err(LockError::Io)
    }

    /// Returns the lock as TOML.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a lock is plain data")
    }
}

fn solve_image(
    recipe: &Recipe,
    universe: &Universe,
    sources: &[VerifiedSource],
) -> Result<Vec<LockedPackage>, LockError> {
    let essential = universe
        .packages()
        .iter()
        .filter(|p| p.essential)
        .map(|p| p.name.as_str());
    let required = universe
        .packages()
        .iter()
        .filter(|p| p.priority == "required")
        .map(|p| p.name.as_str());
    let mut wanted: Vec<&str> = essential
        .chain(required)
        .chain(BASE.iter().copied())
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.extend(recipe.packages.iter().map(String::as_str));
    solve("image", universe, &wanted, sources)
}

fn solve(
    set: &'static str,
    universe: &Universe,
    wanted: &[&str],
    sources: &[VerifiedSource],
) -> Result<Vec<LockedPackage>, LockError> {
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let solution =
        solver::solve(universe, &wanted).map_err(|source| LockError::Solve { set, source })?;
    Ok(solution
        .packages
        .iter()
        .map(|(package, _)| locked_package(package, sources))
        .collect())
}

fn locked_package(package: &Package, sources: &[VerifiedSource]) -> LockedPackage {
    let origin = &sources[package.origin];
    let seen = apt_repository::release::rfc3339(origin.release.date).replace(['-', ':'], "");
    LockedPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        archive: origin.source.archive.clone(),
        path: package.filename.clone(),
        size: package.size,
        sha256: package.sha256,
        source: package.source.0.clone(),
        source_version: package.source.1.clone(),
        installed_kib: package.installed_size,
        seen,
        mirror: origin.source.mirror.clone(),
    }
}

fn locked_release(source: &VerifiedSource) -> LockedRelease {
    LockedRelease {
        archive: source.source.archive.clone(),
        suite: source.source.suite.clone(),
        date: apt_repository::release::rfc3339(source.release.date),
        sha256: source.digest,
        key: source.release.fingerprint.clone(),
    }
}

/// What changed between two sets of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Change {
    /// Only the second has it.
    Added(String),
    /// Only the first has it.
    Removed(String),
    /// Both have it, in different versions.
    Changed {
        /// Name.
        name: String,
        /// Version in the first.
        from: String,
        /// Version in the second.
        to: String,
    },
}

/// Compares two package sets, given as name → version.
pub fn compare(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, from) in before {
        match after.get(name) {
            None => changes.push(Change::Removed(name.clone())),
            Some(to) if to != from => {
                changes.push(Change::Changed {
                    name: name.clone(),
                    from: from.clone(),
                    to: to.clone(),
                });
            }
            Some(_) => {}
        }
    }
    changes.extend(
        after
            .keys()
            .filter(|name| !before.contains_key(*name))
            .map(|name| Change::Added(name.clone())),
    );
    changes
}
