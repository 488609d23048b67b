//! What can go wrong between us and the world.

use std::io;
use std::path::Path;

use release::template::Problems;
use release_stores::StoreError;

/// An action cannot be done. Messages never hold a secret: addresses with secrets are cut out.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// A file.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A request that got no answer.
    #[error("cannot {what}")]
    Http {
        /// What was to be done.
        what: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that says no.
    #[error("cannot {what}: the server answered {status}{}{answer}", if answer.is_empty() { "" } else { ": " })]
    Status {
        /// What was to be done.
        what: String,
        /// Status code.
        status: u16,
        /// The beginning of what it said.
        answer: String,
    },
    /// A secret is missing.
    #[error("{variable} is not set: {why}")]
    NoSecret {
        /// Environment variable.
        variable: String,
        /// What it is for.
        why: &'static str,
    },
    /// Files that people wrote.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Something must be done before, or otherwise.
    #[error("{0}")]
    Refused(String),
    /// An object store.
    #[error("cannot {what}")]
    Store {
        /// What was to be done.
        what: String,
        /// Why not.
        #[source]
        source: object_store::Error,
    },
    /// A text of the template.
    #[error("the text {name} cannot be filled in")]
    Text {
        /// Text.
        name: String,
        /// Why not.
        #[source]
        source: minijinja::Error,
    },
    /// A mail that cannot be made.
    #[error("the mail cannot be written: {what}")]
    Mail {
        /// What is wrong.
        what: String,
    },
    /// A mail that was not taken.
    #[error("the mail server did not take the mail")]
    Smtp(#[source] lettre::transport::smtp::Error),
    /// A signature.
    #[error("cannot sign the sums")]
    Sign(#[source] release::journal::SignatureError),
    /// A minisign key.
    #[error("cannot use the minisign key")]
    Minisign(#[source] minisign::PError),
    /// The hash block.
    #[error("cannot write the image hashes")]
    HashBlock(#[source] release::changelog::hash_block::HashBlockError),
    /// A program.
    #[error("{program} ended with {status}; its output: {log}")]
    Program {
        /// The program.
        program: String,
        /// Exit status.
        status: String,
        /// Where its output lies.
        log: String,
    },
    /// The action cannot be taken back.
    #[error("this cannot be taken back by a program{0}")]
    NoUndo(&'static str),
}

impl From<StoreError> for ActionError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { what, source } => Self::Io { what, source },
            StoreError::Object { what, source } => Self::Store { what, source },
        }
    }
}

impl ActionError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("read {}", path.display()))
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("write {}", path.display()))
    }

    /// Wraps a request's error; its address may hold a secret and is left out.
    pub(crate) fn http(what: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let what = what.into();
        move |source| Self::Http {
            what,
            source: source.without_url(),
        }
    }
}
