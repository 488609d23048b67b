//! What an action works on.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use jiff::Timestamp;
use release::candidate::CheckedBuild;
use release::journal::Signer;
use release::run::{Candidate, Run};
use release::template::Step;

use crate::error::ActionError;

/// Something that must not be printed.
#[derive(Clone)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Returns it, for a request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Secrets by the names of environment variables. It remembers which it gave out, to keep them out of
/// whatever is recorded.
pub struct Secrets<'a> {
    look_up: &'a dyn Fn(&str) -> Option<String>,
    given: RefCell<Vec<String>>,
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl<'a> Secrets<'a> {
    /// Uses a function that knows the environment.
    pub fn new(look_up: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            look_up,
            given: RefCell::default(),
        }
    }

    /// Returns a secret, if there is one that is not empty.
    pub fn find(&self, variable: &str) -> Option<Secret> {
        let value = (self.look_up)(variable).filter(|value| !value.is_empty())?;
        self.given.borrow_mut().push(value.clone());
        Some(Secret(value))
    }

    /// Returns a secret that must be there.
    pub fn need(&self, variable: &str, why: &'static str) -> Result<Secret, ActionError> {
        self.find(variable).ok_or_else(|| ActionError::NoSecret {
            variable: variable.to_owned(),
            why,
        })
    }

    /// Returns the text without any secret that was given out.
    pub fn redact(&self, text: &str) -> String {
        let given = self.given.borrow();
        given.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret, "[secret]")
        })
    }
}

/// One step of one release, and everything that an action may need for it.
pub struct Job<'a> {
    /// The release as it stands.
    pub run: &'a Run<'a>,
    /// Its version.
    pub version: &'a str,
    /// The step.
    pub step: &'a Step,
    /// Root of the product's repository.
    pub project: &'a Path,
    /// Folder for what is made on the way and may be made again.
    pub staging: PathBuf,
    /// The candidate's files, hashed again. None if they are not here.
    pub build: Option<&'a CheckedBuild>,
    /// Secrets.
    pub secrets: &'a Secrets<'a>,
    /// The key of who runs it.
    pub signer: &'a dyn Signer,
    /// Who runs it.
    pub person: &'a str,
    /// This program, for steps that call it.
    pub program: &'a Path,
    /// The time; of the first attempt for this candidate, if there was one.
    pub time: Timestamp,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({} of {})", self.step.name, self.version)
    }
}

impl<'a> Job<'a> {
    /// Returns the candidate.
    pub fn candidate(&self) -> Result<&'a Candidate, ActionError> {
        self.run.candidate().ok_or_else(|| {
            ActionError::Refused(
                "there is no candidate yet: run “bakelite release candidate add MANIFEST”".into(),
            )
        })
    }

    /// Returns the candidate's files. They are those of the candidate: the digest says so.
    pub fn build(&self) -> Result<&'a CheckedBuild, ActionError> {
        let digest: Sha256Digest = self.candidate()?.digest;
        match self.build {
            Some(build) if build.digest == digest => Ok(build),
            Some(build) => Err(ActionError::Refused(format!(
                "{} holds another build ({}) than the candidate {}",
                build.folder.display(),
                build.digest.short(),
                digest.short()
            ))),
            None => Err(ActionError::Refused(
                "the candidate's files are not here: name their folder with --build".into(),
            )),
        }
    }

    /// Returns a path below the repository's root, with the version in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.project.join(self.named(name))
    }

    /// Fills in `{version}`.
    pub(crate) fn named(&self, name: &str) -> String {
        name.replace("{version}", self.version)
    }

    /// Returns the changelog; empty if there is none.
    pub(crate) fn changelog(&self) -> Result<String, ActionError> {
        let path = self.project.join(&self.product().changelog);
        match fs_err::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(ActionError::read(&path)(error)),
        }
    }

    /// Returns what is released.
    pub(crate) fn product(&self) -> &'a release::template::written::ProductToml {
        &self.run.template().release.product
    }

    /// Returns a target by name; the template was checked when it was read.
    pub(crate) fn target(&self, name: &str) -> &'a release::template::TargetToml {
        &self.run.template().release.targets[name]
    }
}

/// Writes a file whole or not at all, also through a power cut.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ActionError> {
    use std::io::Write as _;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || {
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs_err::set_permissions(file.path(), mode)?;
        file.persist(path).map_err(|error| error.error)?;
        fs_err::File::open(folder)?.sync_all()
    };
    write().map_err(ActionError::write(path))
}
