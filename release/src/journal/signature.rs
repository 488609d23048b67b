//! Signatures of events: SSHSIG (OpenSSH, PROTOCOL.sshsig), because everybody on a team has a key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

/// Keeps a signature of something else from passing for one of an event, and the other way round.
pub const NAMESPACE: &str = "bakelite-release-journal";

/// The namespace of signed files, as `ssh-keygen -Y sign -n file` has it.
pub const FILE_NAMESPACE: &str = "file";

/// An event could not be signed, or a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key file cannot be read.
    #[error("cannot read the key {path}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
    /// The text is no signature.
    #[error("this is no SSH signature")]
    Malformed(#[source] ssh_key::Error),
    /// The key cannot sign.
    #[error("the key cannot sign")]
    Sign(#[source] ssh_key::Error),
    /// `ssh-keygen` failed.
    #[error("ssh-keygen cannot sign with {path}: {output}")]
    Keygen {
        /// The key.
        path: PathBuf,
        /// What it said.
        output: String,
    },
    /// `ssh-keygen` cannot be started.
    #[error("cannot start ssh-keygen")]
    Start(#[source] std::io::Error),
    /// The name is not among the people.
    #[error("{name} is not among the release's people")]
    UnknownSigner {
        /// The name.
        name: String,
    },
    /// Somebody wrote for somebody else, and is no server.
    #[error("{name} wrote it for somebody else, and is no server of this release")]
    NoServer {
        /// The name.
        name: String,
    },
    /// The signature is by a key that is not the signer's.
    #[error("signed by {found}, which is no key of {name}")]
    OtherKey {
        /// The signer by name.
        name: String,
        /// Fingerprint of the key that signed.
        found: String,
    },
    /// The signature does not fit the event.
    #[error("the signature of {name} does not fit: the event was changed after signing")]
    Wrong {
        /// The signer by name.
        name: String,
    },
}

/// Makes signatures.
pub trait Signer {
    /// Signs bytes for a purpose, the namespace. Returns the armoured signature.
    fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<String, SignatureError>;
}

/// A key in memory, such as a server's.
#[derive(Debug)]
pub struct KeyFile(PrivateKey);

impl KeyFile {
    /// Reads an unencrypted OpenSSH private key.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        PrivateKey::read_openssh_file(path)
            .map(Self)
            .map_err(|source| SignatureError::Key {
                path: path.to_owned(),
                source,
            })
    }

    /// Returns the public key, as in `authorized_keys`.
    pub fn public(&self) -> String {
        self.0
            .public_key()
            .to_openssh()
            .expect("a key that was read can be written")
    }
}

impl From<PrivateKey> for KeyFile {
    fn from(key: PrivateKey) -> Self {
        Self(key)
    }
}

impl Signer for KeyFile {
    fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<String, SignatureError> {
        self.0
            .sign(namespace, HashAlg::Sha512, bytes)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(SignatureError::Sign)
    }
}

/// A person's own key, used through `ssh-keygen -Y sign`: keys with passphrases, in agents and on
/// hardware work as they do everywhere else.
#[derive(Debug)]
pub struct SshKeygen {
    /// The private key, or the public one if an agent holds the private.
    pub key: PathBuf,
}

impl Signer for SshKeygen {
    #[expect(
        clippy::disallowed_methods,
        reason = "OpenSSH is the only one that can use every kind of key"
    )]
    fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<String, SignatureError> {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(SignatureError::Start)?;
        let mut input = child.stdin.take().expect("stdin is piped");
        let written = input.write_all(bytes);
        drop(input);
        let output = child.wait_with_output().map_err(SignatureError::Start)?;
        if written.is_err() || !output.status.success() {
            return Err(SignatureError::Keygen {
                path: self.key.clone(),
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Who may sign: public keys by name.
#[derive(Debug, Clone, Default)]
pub struct AllowedSigners {
    keys: BTreeMap<String, Vec<PublicKey>>,
    servers: BTreeSet<String>,
}

impl AllowedSigners {
    /// Adds a key, as in `authorized_keys`.
    pub fn add(&mut self, name: &str, key: &str) -> Result<(), ssh_key::Error> {
        let key = PublicKey::from_openssh(key)?;
        self.keys.entry(name.to_owned()).or_default().push(key);
        Ok(())
    }

    /// Adds the key of a server, which may sign for people.
    pub fn add_server(&mut self, name: &str, key: &str) -> Result<(), ssh_key::Error> {
        self.add(name, key)?;
        self.servers.insert(name.to_owned());
        Ok(())
    }

    /// Returns who must have signed an event: its actor, or the server that wrote it. Nobody else may write for
    /// others.
    pub(super) fn signer_of<'e>(
        &self,
        actor: &'e str,
        via: Option<&'e str>,
    ) -> Result<&'e str, SignatureError> {
        match via {
            None => Ok(actor),
            Some(server) if self.servers.contains(server) => Ok(server),
            Some(name) => Err(SignatureError::NoServer {
                name: name.to_owned(),
            }),
        }
    }

    /// Returns whose a public key is.
    pub fn owner_of(&self, key: &str) -> Option<&str> {
        let key = PublicKey::from_openssh(key).ok()?;
        let has = |keys: &Vec<PublicKey>| keys.iter().any(|k| k.key_data() == key.key_data());
        self.keys
            .iter()
            .find(|(_, keys)| has(keys))
            .map(|(name, _)| name.as_str())
    }

    /// Returns the names of all signers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Checks that `name` signed exactly these bytes for this purpose.
    pub fn verify(
        &self,
        name: &str,
        namespace: &str,
        bytes: &[u8],
        armoured: &str,
    ) -> Result<(), SignatureError> {
        let keys = self
            .keys
            .get(name)
            .ok_or_else(|| SignatureError::UnknownSigner {
                name: name.to_owned(),
            })?;
        let signature = SshSig::from_pem(armoured).map_err(SignatureError::Malformed)?;
        let key = keys
            .iter()
            .find(|key| key.key_data() == signature.public_key())
            .ok_or_else(|| SignatureError::OtherKey {
                name: name.to_owned(),
                found: PublicKey::from(signature.public_key().clone())
                    .fingerprint(HashAlg::Sha256)
                    .to_string(),
            })?;
        key.verify(namespace, bytes, &signature)
            .map_err(|_wrong| SignatureError::Wrong {
                name: name.to_owned(),
            })
    }
}
