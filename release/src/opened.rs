//! One release, opened: its frozen template and its verified journal, for whoever reads it or adds to it.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::journal::{AppendError, Author, Event, Journal, SCHEMA, Signer, Verified, What};
use crate::run::{Refusal, Run};
use crate::template::{Problems, Template};

/// One release, as it stood when it was read.
#[derive(Debug)]
pub struct Opened {
    /// Its version.
    pub version: String,
    /// The template that it began with.
    pub template: Template,
    /// Its journal.
    pub journal: Journal,
    /// Events and problems.
    pub verified: Verified,
}

/// A release cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its copy of the template.
    #[error("the release's template cannot be used")]
    Template(#[from] Problems),
    /// Its journal.
    #[error("cannot read the journal")]
    Read(#[from] io::Error),
}

/// An event was not added.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It breaks a rule.
    #[error("this does not count in release {run}")]
    Refused {
        /// The release.
        run: String,
        /// The rule.
        #[source]
        source: Refusal,
    },
    /// It cannot be written.
    #[error("the event cannot be recorded")]
    Append(#[from] AppendError),
    /// The journal cannot be read.
    #[error("cannot read the journal")]
    Read(#[from] io::Error),
}

impl Opened {
    /// Opens a release below the journal's root.
    pub fn open(root: &Path, version: &str) -> Result<Self, OpenError> {
        let journal = Journal::new(root, version);
        let template = Template::load(&journal.template())?;
        let verified = journal.verify(&template.signers())?;
        Ok(Self {
            version: version.to_owned(),
            template,
            journal,
            verified,
        })
    }

    /// Returns the release as replay sees it.
    pub fn run(&self) -> Run<'_> {
        Run::replay(&self.template, self.verified.events())
    }

    /// Returns the folder with the copy of the template.
    pub fn template_folder(&self) -> PathBuf {
        self.journal.template()
    }

    /// Asks whether an event would count, then signs and writes it. The journal is read again first: others
    /// may have written since.
    pub fn record(
        &self,
        author: &Author<'_>,
        signer: &dyn Signer,
        time: Timestamp,
        what: What,
    ) -> Result<Event, RecordError> {
        let seen = self.journal.verify(&self.template.signers())?;
        self.judge(&seen, author.actor, time, &what)?;
        let (event, _) = self
            .journal
            .append(author, signer, &seen, time, &self.version, what)?;
        Ok(event)
    }

    /// Asks whether an event would count, without writing it.
    pub fn would_count(
        &self,
        actor: &str,
        time: Timestamp,
        what: &What,
    ) -> Result<(), RecordError> {
        self.judge(&self.verified, actor, time, what)
    }

    fn judge(
        &self,
        seen: &Verified,
        actor: &str,
        time: Timestamp,
        what: &What,
    ) -> Result<(), RecordError> {
        let event = Event {
            schema: SCHEMA,
            run: self.version.clone(),
            id: String::new(),
            time,
            actor: actor.to_owned(),
            via: None,
            after: Vec::new(),
            what: what.clone(),
        };
        let mut run = Run::replay(&self.template, seen.events());
        run.apply(&event).map_err(|source| RecordError::Refused {
            run: self.version.clone(),
            source,
        })
    }

    /// Reads the journal again.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.verified = self.journal.verify(&self.template.signers())?;
        Ok(())
    }
}
