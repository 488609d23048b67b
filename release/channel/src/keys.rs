//! The folder of a project's keys: roots, which are public, and private keys beside them, which git must not see.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use update_trust::{FileSigner, SignError, Signer, Validity};

use crate::roots::{put, write_key};
use crate::signers;

/// Folder of the private keys.
pub(crate) const PRIVATE: &str = "private";

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("cannot read or write the keys in {}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There are keys already.
    #[error("{} has keys already: devices trust them, and others would be of no use to those", folder.display())]
    There {
        /// The folder.
        folder: PathBuf,
    },
    /// There are none.
    #[error("{} has no keys: make them with `bakelite keys init`", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// Nobody can sign here.
    #[error("no key can sign here: {0} has none, and none of {0}/signers.toml is within reach", folder.display())]
    NoSigner {
        /// The folder.
        folder: PathBuf,
    },
    /// There is nothing to put another in the place of.
    #[error(
        "no key is in a file here: `bakelite keys add` adds another, and `revoke` takes the old one away"
    )]
    NoFile,
    /// No such key.
    #[error("“{id}” is no key, or more than one; there are {}", known.join(", "))]
    Unknown {
        /// What was looked for.
        id: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The key is trusted already.
    #[error("key {id} is trusted already")]
    Known {
        /// Which.
        id: String,
    },
    /// A root without keys trusts nobody.
    #[error("it is the only key: `bakelite keys rotate` puts another in its place")]
    Last,
    /// What was given is no public key.
    #[error("{what}")]
    Public {
        /// Why.
        what: String,
    },
    /// One change at a time.
    #[error("{} waits for signatures: sign it with `bakelite keys sign`, or delete it", path.display())]
    Waiting {
        /// The root.
        path: PathBuf,
    },
    /// There is nothing to sign.
    #[error("no root waits for signatures")]
    NotWaiting,
    /// A key or root cannot be made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The keys of a project.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(crate) folder: PathBuf,
    roots: Vec<(u64, String)>,
    /// Socket of an SSH agent.
    agent: Option<PathBuf>,
}

impl Keys {
    /// Makes one key that holds all roles: no ceremony. `now` is in seconds since 1970.
    pub fn init(folder: &Path, now: i64) -> Result<Self, KeysError> {
        let fail = |source| KeysError::Io {
            folder: folder.to_owned(),
            source,
        };
        if folder.join("1.root.json").exists() {
            return Err(KeysError::There {
                folder: folder.to_owned(),
            });
        }
        let private = folder.join(PRIVATE);
        fs_err::create_dir_all(&private).map_err(fail)?;
        fs_err::write(folder.join(".gitignore"), format!("/{PRIVATE}/\n")).map_err(fail)?;
        let path = private.join("update.key");
        write_key(&path).map_err(fail)??;
        let signer: Arc<dyn Signer> = Arc::new(FileSigner { path });
        let public = [signer.public()?];
        let (root, version) =
            update_trust::root(&[signer], &public, 1, None, (now, Validity::default()))?;
        // The root last: what is half made is no set of keys.
        put(&folder.join(format!("{version}.root.json")), &root).map_err(fail)?;
        Self::read(folder)
    }

    /// Reads the roots.
    pub fn read(folder: &Path) -> Result<Self, KeysError> {
        let fail = |source| KeysError::Io {
            folder: folder.to_owned(),
            source,
        };
        let mut roots = Vec::new();
        for version in 1.. {
            match fs_err::read_to_string(folder.join(format!("{version}.root.json"))) {
                Ok(text) => roots.push((version, text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(fail(error)),
            }
        }
        if roots.is_empty() {
            return Err(KeysError::None {
                folder: folder.to_owned(),
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            roots,
            agent: None,
        })
    }

    /// The same, with the keys that an SSH agent holds.
    #[must_use]
    pub fn with_agent(self, socket: Option<PathBuf>) -> Self {
        Self {
            agent: socket,
            ..self
        }
    }

    /// Returns all roots with their versions, the oldest first.
    pub fn roots(&self) -> &[(u64, String)] {
        &self.roots
    }

    /// Returns the newest root: what a device is made with.
    pub fn newest_root(&self) -> &str {
        self.roots.last().map_or("", |(_, text)| text)
    }

    /// Returns all who can sign on this machine.
    pub fn signers(&self) -> Result<Vec<Arc<dyn Signer>>, KeysError> {
        let mut all: Vec<Arc<dyn Signer>> = Vec::new();
        for file in self.files()? {
            all.push(Arc::new(file));
        }
        for signer in signers::read(&self.folder, self.agent.as_deref())
            .map_err(|error| self.failed(error))?
        {
            if signer.is_here() {
                all.push(Arc::new(signer));
            }
        }
        if all.is_empty() {
            return Err(KeysError::NoSigner {
                folder: self.folder.clone(),
            });
        }
        Ok(all)
    }

    /// Returns the private keys that are files here.
    pub(crate) fn files(&self) -> Result<Vec<FileSigner>, KeysError> {
        let mut paths = Vec::new();
        match fs_err::read_dir(self.folder.join(PRIVATE)) {
            // Somebody's copy, who signs with an agent or a token.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(|error| self.failed(error))? {
                    let path = entry.map_err(|error| self.failed(error))?.path();
                    if path.extension().is_some_and(|extension| extension == "key") {
                        paths.push(path);
                    }
                }
            }
        }
        paths.sort();
        Ok(paths.into_iter().map(|path| FileSigner { path }).collect())
    }

    /// Returns the ids of the keys that can sign on this machine.
    pub fn here(&self) -> Result<Vec<String>, KeysError> {
        let signers = match self.signers() {
            Err(KeysError::NoSigner { .. }) => Vec::new(),
            signers => signers?,
        };
        let id = |signer: &Arc<dyn Signer>| Ok(signer.public()?.id());
        signers.iter().map(id).collect()
    }

    pub(crate) fn failed(&self, source: io::Error) -> KeysError {
        KeysError::Io {
            folder: self.folder.clone(),
            source,
        }
    }
}
