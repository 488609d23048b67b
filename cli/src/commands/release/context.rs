//! What a release command works on: the template, the verified journal, and who asks.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use release::evidence::EvidenceStore;
use release::journal::{Author, Event, Journal, SshKeygen, What};
use release::opened::Opened;
use release::run::Run;
use release::template::Template;

use crate::arguments::release::ReleaseArguments;
use crate::command_error::CommandError;
use crate::environment;

/// One release, as it stands, and who works on it.
pub(super) struct Context {
    pub(super) opened: Opened,
    pub(super) evidence: EvidenceStore,
    pub(super) now: Timestamp,
    /// The release's folder.
    pub(super) folder: PathBuf,
    /// Root of the product's repository: where the release's folder lies.
    pub(super) project: PathBuf,
    key: Option<PathBuf>,
}

impl Context {
    /// Opens the release that is meant, with the template that it began with.
    pub(super) fn open(arguments: &ReleaseArguments) -> Result<Self, CommandError> {
        let root = journal_root(arguments);
        let runs = Journal::runs(&root).map_err(CommandError::io("read the journal"))?;
        let version = match (&arguments.run, runs.as_slice()) {
            (Some(version), _) if runs.contains(version) => version.clone(),
            (None, [only]) => only.clone(),
            (Some(version), _) => {
                return Err(CommandError::Usage {
                    text: format!("there is no release {version}; {}", known(&runs)),
                });
            }
            (None, []) => {
                return Err(CommandError::Usage {
                    text: "no release was begun: run “bakelite release start VERSION”, or “bakelite release sync” if somebody else began it".into(),
                });
            }
            (None, _) => return Self::only_open_one(arguments, &runs),
        };
        Self::of(arguments, &version)
    }

    fn only_open_one(arguments: &ReleaseArguments, runs: &[String]) -> Result<Self, CommandError> {
        let mut open = Vec::new();
        for version in runs {
            let context = Self::of(arguments, version)?;
            if context.run().end.is_none() {
                open.push(context);
            }
        }
        if open.len() == 1 {
            return Ok(open.remove(0));
        }
        Err(CommandError::Usage {
            text: format!("say which release is meant, with --run; {}", known(runs)),
        })
    }

    /// Opens one release.
    pub(super) fn of(arguments: &ReleaseArguments, version: &str) -> Result<Self, CommandError> {
        let opened = Opened::open(&journal_root(arguments), version).map_err(CommandError::Open)?;
        Ok(Self {
            opened,
            evidence: EvidenceStore::new(&arguments.folder.join("evidence")),
            now: now(),
            folder: arguments.folder.clone(),
            project: project_of(&arguments.folder),
            key: arguments.key.clone(),
        })
    }

    /// Returns the release as it stands.
    pub(super) fn run(&self) -> Run<'_> {
        self.opened.run()
    }

    /// Returns the checklist.
    pub(super) fn template(&self) -> &Template {
        &self.opened.template
    }

    /// Returns who asks: the person whose key this is.
    pub(super) fn person(&self) -> Result<(String, PathBuf), CommandError> {
        person(self.template(), self.key.as_deref())
    }

    /// Asks whether an event would count, then signs and writes it.
    pub(super) fn record(&self, what: What) -> Result<Event, CommandError> {
        let (actor, key) = self.person()?;
        let author = Author {
            actor: &actor,
            via: None,
        };
        let signer = SshKeygen { key };
        Ok(self.opened.record(&author, &signer, now(), what)?)
    }

    /// Asks whether an event would count, without writing it.
    pub(super) fn would_count(&self, what: &What) -> Result<(), CommandError> {
        let (actor, _) = self.person()?;
        Ok(self.opened.would_count(&actor, now(), what)?)
    }

    /// Reads the journal again.
    pub(super) fn refresh(&mut self) -> Result<(), CommandError> {
        self.now = now();
        self.opened
            .refresh()
            .map_err(CommandError::io("read the journal"))
    }
}

/// Returns the time. People read it; nothing happens twice in a second.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// Returns the person of a template whose key this is, and the key.
pub(super) fn person(
    template: &Template,
    key: Option<&Path>,
) -> Result<(String, PathBuf), CommandError> {
    let signers = template.signers();
    let keys = match key {
        Some(key) => vec![public_half(key)],
        None => environment::public_keys(),
    };
    for public in &keys {
        let text = fs_err::read_to_string(public).unwrap_or_default();
        if let Some(name) = signers.owner_of(text.trim()) {
            return Ok((name.to_owned(), public.with_extension("")));
        }
    }
    let looked: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
    Err(CommandError::Usage {
        text: format!(
            "nobody in people.toml has one of these keys: {}\nadd yours to people.toml, or name another with --key",
            if looked.is_empty() {
                "(none found in ~/.ssh)".into()
            } else {
                looked.join(", ")
            }
        ),
    })
}

pub(super) fn journal_root(arguments: &ReleaseArguments) -> PathBuf {
    arguments.folder.join("journal")
}

/// Returns the folder that the release's folder lies in.
pub(super) fn project_of(release: &Path) -> PathBuf {
    match release.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::new(),
    }
}

fn known(runs: &[String]) -> String {
    if runs.is_empty() {
        "there is none yet".into()
    } else {
        format!("there are: {}", runs.join(", "))
    }
}

fn public_half(key: &Path) -> PathBuf {
    if key.extension().is_some_and(|e| e == "pub") {
        return key.to_owned();
    }
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}
