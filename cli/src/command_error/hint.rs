//! What a person can do about an error. Errors say what happened; this says what next.

use std::error::Error;
use std::io;

use image_builder::agent_package::AgentError;
use image_builder::download::DownloadError;
use image_builder::index::ReleaseError;
use image_builder::lock::LockError;
use image_builder::sandbox::{IdentityError, SandboxError};
use image_builder::vault::VaultError;
use release_automation::ActionError;
use release_automation::sync::SyncError;

const FREE_SOME_ROOM: &str = "free some room, or use another folder (--cache, --out); “bakelite cache gc” removes old results";
const OTHER_MIRROR: &str = "check the network; --mirror chooses another mirror";

/// Returns the hint for one error of a chain.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let hint = if let Some(error) = find::<SandboxError>(error) {
        of_sandbox(error)
    } else if let Some(error) = find::<IdentityError>(error) {
        of_identity(error)
    } else if let Some(error) = find::<AgentError>(error) {
        of_agent(error)
    } else if let Some(error) = find::<LockError>(error) {
        of_lock(error)
    } else if let Some(error) = find::<VaultError>(error) {
        of_vault(error)
    } else if let Some(error) = find::<ReleaseError>(error) {
        of_release(error)
    } else if let Some(error) = find::<DownloadError>(error) {
        of_download(error)
    } else if let Some(error) = find::<ActionError>(error) {
        of_action(error)
    } else if let Some(error) = find::<SyncError>(error) {
        of_sync(error)
    } else if let Some(error) = find::<io::Error>(error) {
        match error.kind() {
            io::ErrorKind::StorageFull => FREE_SOME_ROOM,
            _ => "",
        }
    } else {
        ""
    };
    (!hint.is_empty()).then_some(hint)
}

/// Returns the error as what it is, in a box or not.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let boxed = || error.downcast_ref::<Box<T>>().map(AsRef::as_ref);
    error.downcast_ref().or_else(boxed)
}

fn of_sandbox(error: &SandboxError) -> &'static str {
    match error {
        SandboxError::Namespaces { .. } => {
            "unprivileged user namespaces are switched off: see “bakelite doctor”"
        }
        SandboxError::MapIds { .. } => "install the package uidmap; see “bakelite doctor”",
        SandboxError::Task {
            disk_full: true, ..
        } => FREE_SOME_ROOM,
        SandboxError::Identity(_)
        | SandboxError::Start { .. }
        | SandboxError::Died { .. }
        | SandboxError::Task { .. } => "",
    }
}

fn of_identity(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::NoRange { .. } => {
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
        }
        IdentityError::NoUser { .. } => "add this user to the user database, or build as another",
    }
}

fn of_agent(error: &AgentError) -> &'static str {
    match error {
        AgentError::NoRust => {
            "install Rust with rustup, or take the overlay kvm-agent out of the recipe"
        }
        AgentError::NoTarget { .. } => "run: rustup target add aarch64-unknown-linux-gnu",
        AgentError::Fetch { .. } => {
            "check the network; cargo's own settings say where it fetches from"
        }
        AgentError::Io(_) | AgentError::Sandbox(_) | AgentError::Compile { .. } => "",
    }
}

fn of_lock(error: &LockError) -> &'static str {
    match error {
        LockError::Stale { .. } => "run “bakelite lock” again, and look at what changed",
        LockError::OtherHost { .. } => "run “bakelite lock” on this machine",
        LockError::Index(_)
        | LockError::Download(_)
        | LockError::Solve { .. }
        | LockError::Io(_)
        | LockError::Parse { .. } => "",
    }
}

fn of_vault(error: &VaultError) -> &'static str {
    match error {
        VaultError::Vanished { .. } => {
            "run “bakelite lock” again to take the version that the archive has now"
        }
        VaultError::Download { .. } | VaultError::Write(_) => "",
    }
}

fn of_release(error: &ReleaseError) -> &'static str {
    match error {
        ReleaseError::Expired { .. } => {
            "check this machine's clock, then try another mirror (--mirror)"
        }
        ReleaseError::RolledBack { .. } => {
            "try another mirror (--mirror); if the archive really went back, remove indexes/ from the cache"
        }
        _ => "",
    }
}

fn of_download(error: &DownloadError) -> &'static str {
    match error {
        DownloadError::Transfer { .. }
        | DownloadError::Status { .. }
        | DownloadError::Short { .. } => OTHER_MIRROR,
        _ => "",
    }
}

fn of_action(error: &ActionError) -> &'static str {
    match error {
        ActionError::NoSecret { .. } => {
            "set it in the shell that runs this, never in a file of the repository; docs/release.md lists them all"
        }
        ActionError::Status {
            status: 401 | 403, ..
        } => "the token or key may be wrong, too old, or lack a permission",
        ActionError::Http { .. } | ActionError::Store { .. } | ActionError::Smtp(_) => {
            "check the network, then run the same command again: it goes on where it was"
        }
        ActionError::Io { .. }
        | ActionError::Status { .. }
        | ActionError::Problems(_)
        | ActionError::Refused(_)
        | ActionError::Text { .. }
        | ActionError::Mail { .. }
        | ActionError::Sign(_)
        | ActionError::Minisign(_)
        | ActionError::HashBlock(_)
        | ActionError::Program { .. }
        | ActionError::NoUndo(_) => "",
    }
}

fn of_sync(error: &SyncError) -> &'static str {
    match error {
        SyncError::Tampered { .. } | SyncError::Rewritten { .. } => {
            "what you have is untouched; “git -C release/journal log -p” shows who did it"
        }
        SyncError::NotVerified { .. } => {
            "“git -C release/journal log” shows who brought it; nothing of it counts"
        }
        SyncError::Git { .. } => "check the network and your access to the repository",
        SyncError::Start(_) | SyncError::Folder(_) | SyncError::Busy => "",
    }
}
