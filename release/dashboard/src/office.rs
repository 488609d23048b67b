//! What all pages share: the release's folder, the key, the clock, and the one pen that writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use content_digest::Sha256Digest;
use jiff::Timestamp;
use release::evidence::EvidenceStore;
use release::journal::{Author, Event, Journal, KeyFile, SignatureError, What};
use release::opened::{OpenError, Opened, RecordError};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use crate::sign_in::Desk;

/// What a server needs.
pub struct Settings {
    /// The release's folder: `template/`, `journal/`, `evidence/`, `server/`.
    pub folder: PathBuf,
    /// Address to listen on.
    pub listen: std::net::SocketAddr,
    /// Address that browsers use, if it is another one.
    pub public: Option<String>,
    /// The time.
    pub clock: fn() -> Timestamp,
    /// Randomness.
    pub random: fn() -> [u8; 32],
    /// Called after every event that was written.
    pub written: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({}, {})", self.folder.display(), self.listen)
    }
}

/// Reads the server's key, or makes one from randomness.
pub fn server_key(folder: &Path, random: &[u8; 32]) -> Result<KeyFile, SignatureError> {
    let path = folder.join("server/key");
    if path.exists() {
        return KeyFile::read(&path);
    }
    let failed = |source| SignatureError::Key {
        path: path.clone(),
        source,
    };
    let pair = KeypairData::from(Ed25519Keypair::from_seed(random));
    let key = PrivateKey::new(pair, "bakelite release serve").map_err(failed)?;
    let text = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let write = || {
        fs_err::create_dir_all(folder.join("server"))?;
        // A temporary file is its owner's alone, and so is what it is renamed to.
        let mut file = tempfile::NamedTempFile::new_in(folder.join("server"))?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source: std::io::Error| failed(ssh_key::Error::from(source)))?;
    Ok(KeyFile::from(key))
}

/// Shared by all requests.
pub(crate) struct Office {
    pub(crate) settings: Settings,
    pub(crate) desk: Desk,
    pub(crate) evidence: EvidenceStore,
    key: KeyFile,
    /// Who holds it writes: no event is lost between reading and writing.
    pen: Mutex<()>,
    /// Evidence that was hashed again, as it was then: size and time of change.
    whole: Mutex<HashMap<Sha256Digest, (u64, SystemTime)>>,
}

impl Office {
    pub(crate) fn new(settings: Settings, key: KeyFile) -> Self {
        Self {
            desk: Desk::new(&settings.folder.join("server")),
            evidence: EvidenceStore::new(&settings.folder.join("evidence")),
            key,
            settings,
            pen: Mutex::new(()),
            whole: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// Returns the folder for what is still coming in: git does not look there.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.settings.folder.join("server")
    }

    /// Returns whether a piece of evidence is here and is what was recorded. It is hashed once, and again when it
    /// changes: who reviews sees what was filmed, or nothing.
    pub(crate) fn is_whole(&self, sha256: &Sha256Digest) -> bool {
        let path = self.evidence.path(sha256);
        let Ok(facts) = fs_err::metadata(&path) else {
            return false;
        };
        let Ok(changed) = facts.modified() else {
            return false;
        };
        let now = (facts.len(), changed);
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.get(sha256) == Some(&now) {
            return true;
        }
        let is_whole = self.evidence.open(sha256).is_ok();
        if is_whole {
            whole.insert(*sha256, now);
        }
        is_whole
    }

    fn root(&self) -> PathBuf {
        self.settings.folder.join("journal")
    }

    /// Returns the versions that have a release, the newest begun last.
    pub(crate) fn versions(&self) -> Vec<String> {
        Journal::runs(&self.root()).unwrap_or_default()
    }

    pub(crate) fn open(&self, version: &str) -> Result<Opened, OpenError> {
        Opened::open(&self.root(), version)
    }

    /// Returns this server's name in a release; none if its key is not among the servers.
    pub(crate) fn name_in(&self, opened: &Opened) -> Option<String> {
        let signers = opened.template.signers();
        let name = signers.owner_of(&self.key.public())?;
        let servers = &opened.template.people.servers;
        servers.contains_key(name).then(|| name.to_owned())
    }

    /// Writes an event for a person.
    pub(crate) fn record(
        &self,
        opened: &Opened,
        person: &str,
        server: &str,
        what: What,
    ) -> Result<Event, RecordError> {
        let author = Author {
            actor: person,
            via: Some(server),
        };
        let event = {
            let _pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
            opened.record(&author, &self.key, self.now(), what)?
        };
        (self.settings.written)();
        Ok(event)
    }
}
