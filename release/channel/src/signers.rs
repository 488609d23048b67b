//! Who signs: files in `private/`, and what `signers.toml` names: keys in an SSH agent, and programs that reach a key elsewhere.
//!
//! ```toml
//! [[signer]]                                  # a key that an SSH agent holds
//! public = "ssh-ed25519 AAAA… ann@laptop"
//!
//! [[signer]]                                  # a program: bytes on its input, 64 bytes of a signature on its output
//! public = "ssh-ed25519 AAAA… release token"
//! command = ["sign-with-token", "--slot", "2"]
//! ```

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use async_trait::async_trait;
use serde::Deserialize;
use ssh_key::PublicKey;
use update_trust::{Key, SignError, Signer};

use crate::ssh_agent;

/// Names the signers that are not files.
pub(crate) const LIST: &str = "signers.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    signer: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    public: String,
    #[serde(default)]
    command: Vec<String>,
}

/// A signer that is not a file.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    public: PublicKey,
    by: By,
}

/// Who has the private half.
#[derive(Debug, Clone)]
enum By {
    /// A program and its arguments.
    Program(String, Vec<String>),
    /// An SSH agent, if one runs.
    Agent(Option<PathBuf>),
}

/// Reads the list, if there is one. `agent` is the socket of an SSH agent.
pub(crate) fn read(folder: &Path, agent: Option<&Path>) -> io::Result<Vec<Elsewhere>> {
    let path = folder.join(LIST);
    let text = match fs_err::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let bad = |why: String| {
        let text = format!("{}: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let list: List = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let entry = |entry: Entry| {
        let public = public(&entry.public).map_err(&bad)?;
        let mut words = entry.command.into_iter();
        let by = match words.next() {
            Some(program) => By::Program(program, words.collect()),
            None => By::Agent(agent.map(Path::to_owned)),
        };
        Ok(Elsewhere { public, by })
    };
    list.signer.into_iter().map(entry).collect()
}

/// Reads a public key as `ssh-keygen` writes it.
pub(crate) fn public(text: &str) -> Result<PublicKey, String> {
    let public =
        PublicKey::from_openssh(text.trim()).map_err(|error| format!("{text}: {error}"))?;
    match public.key_data().ed25519() {
        Some(_) => Ok(public),
        None => Err(format!(
            "“{text}” is no Ed25519 key: make one with `ssh-keygen -t ed25519`"
        )),
    }
}

/// Returns the key as the metadata names it.
pub(crate) fn key_of(public: &PublicKey) -> Result<Key, SignError> {
    let bytes = public.key_data().ed25519().map(|key| key.0);
    let bytes = bytes.ok_or_else(|| SignError::Key {
        what: "it is no Ed25519 key".into(),
    })?;
    Key::ed25519(&bytes)
}

impl Elsewhere {
    /// Whether it can sign on this machine.
    pub(crate) fn is_here(&self) -> bool {
        match &self.by {
            By::Program(program, _) => is_program(program),
            By::Agent(None) => false,
            By::Agent(Some(socket)) => {
                ssh_agent::keys(socket).is_ok_and(|keys| keys.contains(&self.blob()))
            }
        }
    }

    fn blob(&self) -> Vec<u8> {
        self.public.to_bytes().unwrap_or_default()
    }

    fn sign_now(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let signature = match &self.by {
            By::Program(program, arguments) => by_program(program, arguments, bytes)?,
            By::Agent(Some(socket)) => ssh_agent::sign(socket, &self.blob(), bytes)?,
            By::Agent(None) => return Err(io::Error::other("no SSH agent runs")),
        };
        if signature.len() == 64 {
            Ok(signature)
        } else {
            let text = format!("a signature has 64 bytes, and this one {}", signature.len());
            Err(io::Error::other(text))
        }
    }
}

#[async_trait]
impl Signer for Elsewhere {
    fn public(&self) -> Result<Key, SignError> {
        key_of(&self.public)
    }

    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign_now(bytes).map_err(|error| SignError::Key {
            what: format!("{}: {error}", self.public.comment()),
        })
    }
}

/// Whether a program is there: by its path, or on the way that the shell looks.
fn is_program(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the owner of the keys names it, and no shell reads it"
)]
fn by_program(program: &str, arguments: &[String], bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    input.write_all(bytes)?;
    drop(input);
    let output = child.wait_with_output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(format!(
            "{program} ended with {}",
            output.status
        )))
    }
}
