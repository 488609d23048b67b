//! What the libraries must be told about this machine: read from the environment here and nowhere
//! else.

use std::path::{Path, PathBuf};
use std::process::Command;

use image_builder::Host;
use image_builder::host::RustTools;
use image_builder::mirror::Mirrors;

use crate::arguments::Arguments;
use crate::command_error::CommandError;

#[expect(
    clippy::disallowed_methods,
    reason = "the command line reads the environment for the libraries"
)]
/// Collects the facts. Mirrors come from the host's apt, then `BAKELITE_MIRRORS`, then `--mirror`.
pub(crate) fn host(arguments: &Arguments) -> Result<Host, CommandError> {
    let mut mirrors = Mirrors::of_host(Path::new("/etc/apt"));
    let from_environment = std::env::var("BAKELITE_MIRRORS").unwrap_or_default();
    for pair in from_environment
        .split_whitespace()
        .chain(arguments.mirror.iter().map(String::as_str))
    {
        let Some((name, address)) = pair.split_once('=') else {
            return Err(CommandError::Usage {
                text: format!("“{pair}” is not of the form NAME=ADDRESS"),
            });
        };
        mirrors.set(name, address);
    }
    Ok(Host {
        architecture: match std::env::consts::ARCH {
            "aarch64" => "arm64".into(),
            "x86_64" => "amd64".into(),
            other => other.into(),
        },
        cache: std::path::absolute(cache_folder(arguments))
            .map_err(CommandError::io("find the cache"))?,
        executable: std::env::current_exe().map_err(CommandError::io("find this program"))?,
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        now: jiff::Timestamp::now().as_second(),
        mirrors,
        rust: rust_tools(),
    })
}

/// Returns the public keys of this account, as OpenSSH looks for them.
pub(crate) fn public_keys() -> Vec<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    ["id_ed25519", "id_ecdsa", "id_rsa"]
        .map(|name| home.join(".ssh").join(name).with_extension("pub"))
        .into_iter()
        .filter(|path| path.is_file())
        .collect()
}

/// Returns where packages, trees, results and fetched images are kept.
pub(crate) fn cache_folder(arguments: &Arguments) -> PathBuf {
    if let Some(folder) = &arguments.cache {
        return folder.clone();
    }
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return PathBuf::from(folder).join("bakelite");
    }
    PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/var/tmp".into()))
        .join(".cache/bakelite")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the compiler on the path is a fact of the host"
)]
/// Asks the Rust compiler on the path where it lies.
fn rust_tools() -> Option<RustTools> {
    let ask = |arguments: &[&str]| {
        let output = Command::new("rustc").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let cargo_home =
        std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    Some(RustTools {
        sysroot,
        cargo_home,
        version: ask(&["--version", "--verbose"])?,
    })
}

/// Returns a secret by the name of its environment variable.
#[expect(
    clippy::disallowed_methods,
    reason = "the command line reads the environment for the libraries"
)]
pub(crate) fn secret(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Returns the file that says which certificates of devices are known (XDG Base Directory Specification 0.8).
pub(crate) fn known_devices() -> Result<PathBuf, CommandError> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_absolute());
    let home = || std::env::home_dir().map(|home| home.join(".config"));
    let folder = folder.or_else(home).ok_or_else(|| CommandError::Usage {
        text: "there is no home folder to remember devices in: set XDG_CONFIG_HOME".into(),
    })?;
    Ok(folder.join("bakelite/known-devices"))
}

/// Returns the socket of the person's SSH agent, if one runs.
pub(crate) fn ssh_agent() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from)
}

/// Returns this program.
pub(crate) fn program() -> Result<PathBuf, CommandError> {
    std::env::current_exe().map_err(CommandError::io("find this program"))
}

/// Returns 32 random bytes.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    bytes
}
