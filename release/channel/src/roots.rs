//! The next root: another key, one key less, and the signatures that it needs. Until those are there it waits beside the roots, and
//! no channel has it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use update_trust::{FileSigner, Key, NewKey, RootFacts, Signer, Validity};

use crate::keys::{Keys, KeysError, PRIVATE};
use crate::signers;

/// A root that needs more signatures.
const WAITING: &str = "root.waiting.json";
/// Keys that nothing is signed with any more.
const RETIRED: &str = "retired";

/// The root that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What it says.
    pub facts: RootFacts,
    /// Whether all have signed who must. If not, it waits for `bakelite keys sign` where the others are.
    pub is_whole: bool,
}

/// How a key is named: by its id, or the beginning of it.
fn find(keys: &[Key], id: &str) -> Result<usize, KeysError> {
    let mut found = keys
        .iter()
        .enumerate()
        .filter(|(_, key)| key.id().starts_with(id));
    match (found.next(), found.next()) {
        (Some((place, _)), None) if !id.is_empty() => Ok(place),
        _ => Err(KeysError::Unknown {
            id: id.into(),
            known: keys.iter().map(Key::id).collect(),
        }),
    }
}

impl Keys {
    /// Returns what the newest root says.
    pub fn facts(&self) -> Result<RootFacts, KeysError> {
        Ok(update_trust::read_root(self.newest_root())?)
    }

    /// Makes a new key, which the next root trusts instead of those whose private files are here.
    pub fn rotate(&self, now: i64) -> Result<Next, KeysError> {
        let facts = self.facts()?;
        let old = self.files()?;
        if old.is_empty() {
            return Err(KeysError::NoFile);
        }
        let mut gone = Vec::new();
        for signer in &old {
            gone.push(signer.public()?);
        }
        let new = self.make_key(facts.version + 1)?;
        let mut keys: Vec<Key> = facts
            .keys
            .into_iter()
            .filter(|key| !gone.contains(key))
            .collect();
        keys.push(new.public()?);
        let threshold = facts.threshold.min(keys.len() as u64);
        self.follow(&keys, threshold, now)
    }

    /// Trusts one more key: that of somebody's agent or token, or a new one in a file. Of all, `threshold` must sign the roots that
    /// follow; as many as before if that is not said.
    pub fn add(
        &self,
        public: Option<&str>,
        threshold: Option<u64>,
        now: i64,
    ) -> Result<Next, KeysError> {
        let facts = self.facts()?;
        let key = match public {
            Some(text) => {
                let public = signers::public(text).map_err(|what| KeysError::Public { what })?;
                signers::key_of(&public)?
            }
            None => self.make_key(facts.version + 1)?.public()?,
        };
        let mut keys = facts.keys;
        if keys.contains(&key) {
            return Err(KeysError::Known { id: key.id() });
        }
        keys.push(key);
        self.follow(&keys, threshold.unwrap_or(facts.threshold), now)
    }

    /// Trusts a key no longer. Whoever has it can sign nothing that a device takes once it has seen the next root.
    pub fn revoke(&self, id: &str, now: i64) -> Result<Next, KeysError> {
        let facts = self.facts()?;
        let mut keys = facts.keys;
        keys.remove(find(&keys, id)?);
        if keys.is_empty() {
            return Err(KeysError::Last);
        }
        let threshold = facts.threshold.min(keys.len() as u64);
        self.follow(&keys, threshold, now)
    }

    /// Adds the signatures of the keys that are here to the root that waits.
    pub fn sign_waiting(&self) -> Result<Next, KeysError> {
        let path = self.folder.join(WAITING);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeysError::NotWaiting);
            }
            text => text.map_err(|error| self.failed(error))?,
        };
        let signed = update_trust::sign_root(&text, Some(self.newest_root()), &self.signers()?)?;
        self.settle(&signed)
    }

    fn follow(&self, keys: &[Key], threshold: u64, now: i64) -> Result<Next, KeysError> {
        if self.folder.join(WAITING).exists() {
            return Err(KeysError::Waiting {
                path: self.folder.join(WAITING),
            });
        }
        let before = Some(self.newest_root());
        let when = (now, Validity::default());
        let (text, _) = update_trust::root(&self.signers()?, keys, threshold, before, when)?;
        self.settle(&text)
    }

    /// Puts a root where it belongs: among the roots if it is whole, else where it waits.
    fn settle(&self, text: &str) -> Result<Next, KeysError> {
        let facts = update_trust::read_root(text)?;
        let is_whole = update_trust::is_whole(text, Some(self.newest_root()))?;
        let waiting = self.folder.join(WAITING);
        let target = if is_whole {
            self.folder.join(format!("{}.root.json", facts.version))
        } else {
            waiting.clone()
        };
        put(&target, text).map_err(|error| self.failed(error))?;
        if is_whole {
            match fs_err::remove_file(&waiting) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed(error));
                }
                _ => {}
            }
            self.retire(&facts)?;
        }
        Ok(Next { facts, is_whole })
    }

    /// Takes files out of use whose keys the root does not know.
    fn retire(&self, facts: &RootFacts) -> Result<(), KeysError> {
        for file in self.files()? {
            if !facts.keys.contains(&file.public()?) {
                let to = file.path.with_extension(RETIRED);
                fs_err::rename(&file.path, to).map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    fn make_key(&self, number: u64) -> Result<Arc<dyn Signer>, KeysError> {
        let path = self
            .folder
            .join(PRIVATE)
            .join(format!("update-{number}.key"));
        write_key(&path).map_err(|error| self.failed(error))??;
        Ok(Arc::new(FileSigner { path }))
    }
}

/// Makes a key in a file that only its owner can read. One that is there already, of a change that did not come about, is used.
pub(crate) fn write_key(path: &Path) -> io::Result<Result<(), update_trust::SignError>> {
    if path.exists() {
        return Ok(Ok(()));
    }
    let key = match NewKey::make() {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    let part: PathBuf = path.with_extension("part");
    let mut options = fs_err::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&part)?;
    file.write_all(key.reveal())?;
    file.sync_all()?;
    fs_err::rename(&part, path)?;
    Ok(Ok(()))
}

/// Writes a root so that it is there whole or not at all.
pub(crate) fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}
