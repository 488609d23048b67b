//! The journal of a release: signed events, a file each, linked by their digests.
//!
//! ```text
//! <journal>/runs/2.7.0/
//!   template/                        the template as it was when the release began
//!   events/<ulid>-<actor>.json       {"event": {…}, "signature": "-----BEGIN SSH SIGNATURE-----…"}
//! ```
//!
//! A file an event: two people who work offline merge without a conflict. Every event names the
//! newest ones that its author saw, and so a deleted one is missed; a changed one does not fit its
//! signature; a forged one has none of a person's.

mod event;
mod signature;
mod verified;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use event::{Disposition, Event, EvidenceFile, Outcome, Place, RunKind, SCHEMA, Verdict, What};
pub use signature::{
    AllowedSigners, FILE_NAMESPACE, KeyFile, NAMESPACE, SignatureError, Signer, SshKeygen,
};
pub use verified::{Problem, Trouble, Verified, VerifiedEvent, digest};

/// An event with its signature, as it lies on the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedEvent {
    event: serde_json::Value,
    signature: String,
}

/// An event could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The journal cannot be written.
    #[error("cannot write the event {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The event cannot be signed.
    #[error("cannot sign the event")]
    Sign(#[from] SignatureError),
}

/// The journal of one run.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

/// Who adds an event.
#[derive(Debug, Clone)]
pub struct Author<'a> {
    /// Name among the people.
    pub actor: &'a str,
    /// The server that writes for them, if one does.
    pub via: Option<&'a str>,
}

impl Journal {
    /// Opens the journal of `run` below `root`; nothing is read or made yet.
    pub fn new(root: &Path, run: &str) -> Self {
        Self {
            folder: root.join("runs").join(run),
        }
    }

    /// Returns the versions that have a journal below `root`, by name.
    pub fn runs(root: &Path) -> io::Result<Vec<String>> {
        let folder = root.join("runs");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut runs = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            runs.push(entry?.file_name().to_string_lossy().into_owned());
        }
        runs.sort();
        Ok(runs)
    }

    /// Returns whether anything was recorded. A folder that an interrupted start left is nothing.
    pub fn is_begun(&self) -> bool {
        let files = fs_err::read_dir(self.events())
            .into_iter()
            .flatten()
            .flatten();
        files
            .map(|file| file.file_name())
            .any(|name| !name.as_encoded_bytes().starts_with(b"."))
    }

    /// Returns the folder with the copy of the template.
    pub fn template(&self) -> PathBuf {
        self.folder.join("template")
    }

    /// Returns the folder of the events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events")
    }

    /// Reads and verifies every event. Problems are told one by one; what they concern is left out.
    pub fn verify(&self, signers: &AllowedSigners) -> io::Result<Verified> {
        let mut files = Vec::new();
        if !self.events().exists() {
            return Ok(Verified::default());
        }
        for entry in fs_err::read_dir(self.events())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What an author was about to write when the power went was never an event.
            if !name.starts_with('.') {
                files.push(path);
            }
        }
        files.sort();
        let mut texts = Vec::new();
        for path in files {
            let text = fs_err::read(&path)?;
            texts.push((path, text));
        }
        Ok(Verified::of(texts, signers))
    }

    /// Adds an event after everything in `seen`. Returns it with its digest.
    pub fn append(
        &self,
        author: &Author<'_>,
        signer: &dyn Signer,
        seen: &Verified,
        time: Timestamp,
        run: &str,
        what: What,
    ) -> Result<(Event, Sha256Digest), AppendError> {
        let event = Event {
            schema: SCHEMA,
            run: run.to_owned(),
            id: seen.next_id(time, author.actor, &what),
            time,
            actor: author.actor.to_owned(),
            via: author.via.map(str::to_owned),
            after: seen.heads(),
            what,
        };
        let bytes = verified::canonical(&event);
        let signed = SignedEvent {
            signature: signer.sign(NAMESPACE, &bytes)?,
            event: serde_json::from_slice(&bytes).expect("written above"),
        };
        let mut text = serde_json::to_vec(&signed).expect("plain data");
        text.push(b'\n');
        let path = self
            .events()
            .join(format!("{}-{}.json", event.id, event.actor));
        write_new(&path, &text).map_err(|source| AppendError::Write { path, source })?;
        let digest = Sha256Digest::of(&bytes);
        Ok((event, digest))
    }
}

/// Writes a file that is not there yet, whole or not at all, also through a power cut.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".event-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Readable by the others of the team, as everything that git carries.
    fs_err::set_permissions(
        file.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}

/// Returns the names that are in `names` once only: heads that nothing comes after.
fn unseen<'a>(
    all: impl Iterator<Item = &'a Sha256Digest>,
    named: &BTreeSet<Sha256Digest>,
) -> Vec<Sha256Digest> {
    let mut heads: Vec<Sha256Digest> = all.filter(|d| !named.contains(*d)).copied().collect();
    heads.sort();
    heads
}

#[cfg(test)]
mod tests;
