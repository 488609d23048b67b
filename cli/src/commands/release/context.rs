//! What a release command works on: the template, the verified journal, and who asks.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use release::evidence::EvidenceStore;
use release::journal::{Author, Event, Journal, SCHEMA, SshKeygen, Verified, What};
use release::run::Run;
use release::template::Template;

use crate::arguments::release::ReleaseArguments;
use crate::command_error::CommandError;
use crate::environment;

/// One release, as it stands.
pub(super) struct Context {
    pub(super) version: String,
    pub(super) template: Template,
    pub(super) journal: Journal,
    pub(super) verified: Verified,
    pub(super) evidence: EvidenceStore,
    pub(super) now: Timestamp,
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
                    text: "no release was begun: run “bakelite release start VERSION”".into(),
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
        let journal = Journal::new(&journal_root(arguments), version);
        let template = Template::load(&journal.template()).map_err(CommandError::Template)?;
        let verified = journal
            .verify(&template.signers())
            .map_err(CommandError::io("read the journal"))?;
        Ok(Self {
            version: version.to_owned(),
            journal,
            verified,
            evidence: EvidenceStore::new(&arguments.folder.join("evidence")),
            // People read these times; nothing happens twice in a second.
            now: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
            key: arguments.key.clone(),
            template,
        })
    }

    /// Returns the release as it stands.
    pub(super) fn run(&self) -> Run<'_> {
        Run::replay(&self.template, self.verified.events())
    }

    /// Returns who asks: the person whose key this is.
    pub(super) fn person(&self) -> Result<(String, PathBuf), CommandError> {
        let signers = self.template.signers();
        let keys = match &self.key {
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

    /// Asks whether an event would count, then signs and writes it.
    pub(super) fn record(&mut self, what: What) -> Result<Event, CommandError> {
        let (actor, key) = self.person()?;
        let mut run = self.run();
        let event = Event {
            schema: SCHEMA,
            run: self.version.clone(),
            id: String::new(),
            time: self.now,
            actor: actor.clone(),
            via: None,
            after: Vec::new(),
            what: what.clone(),
        };
        run.apply(&event).map_err(|source| CommandError::Refused {
            run: self.version.clone(),
            source,
        })?;
        let author = Author {
            actor: &actor,
            via: None,
        };
        let signer = SshKeygen { key };
        let (event, _) = self
            .journal
            .append(
                &author,
                &signer,
                &self.verified,
                self.now,
                &self.version,
                what,
            )
            .map_err(CommandError::Append)?;
        self.verified = self
            .journal
            .verify(&self.template.signers())
            .map_err(CommandError::io("read the journal"))?;
        Ok(event)
    }
}

pub(super) fn journal_root(arguments: &ReleaseArguments) -> PathBuf {
    arguments.folder.join("journal")
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
