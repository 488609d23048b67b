//! What a build must know about the machine it runs on. The command line fills it in.

use std::path::PathBuf;

use crate::mirror::Mirrors;

/// The build machine, as facts.
#[derive(Debug, Clone)]
pub struct Host {
    /// Debian's name of its architecture, such as `amd64`.
    pub architecture: String,
    /// Folder of the vault, the trees and all other results that can be made again.
    pub cache: PathBuf,
    /// The program to start as a worker: this one, called with `__worker`.
    pub executable: PathBuf,
    /// Processor threads to use.
    pub threads: usize,
    /// Seconds since 1970.
    pub now: i64,
    /// Where archives are fetched from.
    pub mirrors: Mirrors,
    /// The Rust tools for the agent.
    pub rust: Option<RustTools>,
}

/// Where the Rust compiler lies.
#[derive(Debug, Clone)]
pub struct RustTools {
    /// The toolchain's folder (`rustc --print sysroot`).
    pub sysroot: PathBuf,
    /// Cargo's home, with the registry.
    pub cargo_home: PathBuf,
    /// `rustc --version --verbose`, part of the agent's cache key.
    pub version: String,
}

impl Host {
    /// Returns the folder for one kind of results.
    pub fn cache_folder(&self, kind: &str) -> PathBuf {
        self.cache.join(kind)
    }
}
