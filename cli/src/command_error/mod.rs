//! Errors as people see them: causes, a hint, and the exit status.

use std::error::Error;
use std::io;

mod hint;

use flash::PackageError;
use image_builder::boot::BootError;
use image_builder::diff::DiffError;
use image_builder::download::DownloadError;
use image_builder::pipeline::BuildError;
use image_builder::recipe::Problems;
use image_builder::worker::chain;
use release::opened::OpenError;
use release_automation::sync::SyncError;

/// The request failed.
pub(crate) const FAILED: u8 = 1;
/// The command line or the recipe is wrong.
pub(crate) const USAGE: u8 = 2;
/// Verification failed.
pub(crate) const NOT_VERIFIED: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{text}")]
    Usage { text: String },
    #[error("{0}")]
    Recipe(Problems),
    #[error("the build failed")]
    Build(#[source] BuildError),
    #[error("the machine could not be booted")]
    Boot(#[source] BootError),
    #[error("the builds cannot be compared")]
    Diff(#[source] DiffError),
    #[error("verification failed:\n  {}", problems.join("\n  "))]
    NotVerified { problems: Vec<String> },
    #[error("what people wrote cannot be used")]
    Template(#[source] release::template::Problems),
    #[error("this build cannot be the candidate")]
    Candidate(#[source] release::candidate::CandidateError),
    #[error("the changelog cannot be changed")]
    HashBlock(#[source] release::changelog::hash_block::HashBlockError),
    #[error("the release cannot be opened")]
    Open(#[source] release::opened::OpenError),
    #[error(transparent)]
    Record(#[from] release::opened::RecordError),
    #[error("{step} was not done")]
    Automation {
        step: String,
        #[source]
        source: release_automation::ActionError,
    },
    #[error("{step}: {why}")]
    Conflict { step: String, why: String },
    #[error("the journal was not carried")]
    Sync(#[source] release_automation::sync::SyncError),
    #[error(transparent)]
    Scan(#[from] flash::device::ScanError),
    #[error("nothing was written")]
    Package(#[source] PackageError),
    #[error("nothing was written")]
    Disk(#[source] flash::write::OpenError),
    #[error("nothing was written")]
    Download(#[source] DownloadError),
    #[error("the keys of signers cannot be used")]
    Signers(#[source] flash::SignatureError),
    #[error("the device's settings cannot go onto the card")]
    NoSettings(#[source] flash::settings::NoSettings),
    #[error("the board did not get to where it shows its storage")]
    Board(#[source] flash::rpiboot::SessionError),
    #[error("the record cannot be signed")]
    SignRecord(#[source] release::journal::SignatureError),
    #[error("the keys of updates cannot be used")]
    Keys(#[source] release_channel::KeysError),
    #[error("the channel is as it was")]
    Channel(#[source] release_channel::ChannelError),
    #[error("the device did not do it")]
    Device(#[source] agent_client::DeviceError),
    #[error("the page cannot be served")]
    Serve(#[source] release_dashboard::ServeError),
    #[error("cannot {what}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

impl CommandError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. }
            | Self::Recipe(_)
            | Self::Template(_)
            | Self::Signers(_)
            | Self::Keys(_)
            | Self::NoSettings(_)
            | Self::Open(OpenError::Template(_)) => USAGE,
            Self::NotVerified { .. }
            | Self::Package(
                PackageError::Changed(_) | PackageError::Map { .. } | PackageError::Signature(_),
            )
            | Self::Download(DownloadError::HashMismatch { .. })
            | Self::Conflict { .. } => NOT_VERIFIED,
            Self::Build(_)
            | Self::Channel(_)
            | Self::Device(_)
            | Self::Boot(_)
            | Self::Diff(_)
            | Self::Candidate(_)
            | Self::HashBlock(_)
            | Self::Record(_)
            | Self::Automation { .. }
            | Self::Serve(_)
            | Self::Download(_)
            | Self::Board(_)
            | Self::SignRecord(_)
            | Self::Scan(_)
            | Self::Disk(_)
            | Self::Sync(
                SyncError::Start(_)
                | SyncError::Folder(_)
                | SyncError::Git { .. }
                | SyncError::Busy,
            )
            | Self::Open(OpenError::Read(_))
            | Self::Package(_)
            | Self::Io { .. } => FAILED,
            Self::Sync(_) => NOT_VERIFIED,
        }
    }

    /// Returns the error and its causes; a worker's causes come as text.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes = chain(self);
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(sandbox) = error.downcast_ref::<image_builder::sandbox::SandboxError>() {
                causes.extend(sandbox.inner_causes().iter().cloned());
            }
            next = error.source();
        }
        causes
    }

    /// Returns what to do.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(hint) = hint::of(error) {
                return Some(hint);
            }
            next = error.source();
        }
        None
    }
}

impl From<Problems> for CommandError {
    fn from(problems: Problems) -> Self {
        Self::Recipe(problems)
    }
}

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<BootError> for CommandError {
    fn from(error: BootError) -> Self {
        Self::Boot(error)
    }
}

impl From<DiffError> for CommandError {
    fn from(error: DiffError) -> Self {
        Self::Diff(error)
    }
}
