//! The folder of a project's keys: roots, which are public, and private keys beside them, which git must not see.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::os::unix::fs::OpenOptionsExt as _;

use update_trust::{FileSigner, Key, NewKey, SignError, Signer, Validity};

/// Folder of the private keys.
const PRIVATE: &str = "private";

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
    /// A key or root cannot be made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The keys of a project.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
    roots: Vec<(u64, String)>,
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
        let key = NewKey::make()?;
        let path = private.join("update.key");
        let mut options = fs_err::OpenOptions::new();
        options.create_new(true).write(true).mode(0o600);
        let mut file = options.open(&path).map_err(fail)?;
        file.write_all(key.reveal()).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        let signer: Arc<dyn Signer> = Arc::new(FileSigner { path });
        let public = [signer.public()?];
        let (root, version) =
            update_trust::root(&[signer], &public, 1, None, (now, Validity::default()))?;
        // The root last: what is half made is no set of keys.
        fs_err::write(folder.join(format!("{version}.root.json")), root).map_err(fail)?;
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
        })
    }

    /// Returns all roots with their versions, the oldest first.
    pub fn roots(&self) -> &[(u64, String)] {
        &self.roots
    }

    /// Returns the newest root: what a device is made with.
    pub fn newest_root(&self) -> &str {
        self.roots.last().map_or("", |(_, text)| text)
    }

    /// Returns the signers whose private keys are here.
    pub fn signers(&self) -> Result<Vec<Arc<dyn Signer>>, KeysError> {
        let fail = |source| KeysError::Io {
            folder: self.folder.clone(),
            source,
        };
        let mut paths = Vec::new();
        for entry in fs_err::read_dir(self.folder.join(PRIVATE)).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths
            .into_iter()
            .map(|path| Arc::new(FileSigner { path }) as Arc<dyn Signer>)
            .collect())
    }

    /// Returns the public halves of the private keys that are here.
    pub fn public(&self) -> Result<Vec<Key>, KeysError> {
        let signers = self.signers()?;
        signers
            .iter()
            .map(|signer| signer.public().map_err(KeysError::from))
            .collect()
    }
}
