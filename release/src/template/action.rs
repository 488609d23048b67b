//! What `bakelite release run` can do for a step.

use serde::Deserialize;

/// An automated action with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "name",
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Action {
    /// `bakelite release candidate add` does it.
    Candidate {},
    /// Writes the changelog's entry from fragments, with the image hashes.
    Changelog {},
    /// Writes a draft from a text of the template, if there is none yet.
    Draft {
        /// Text of the template.
        text: String,
        /// File, below the repository's root, with `{version}` for the version.
        file: String,
    },
    /// Writes a draft for every security fragment, if there is none yet.
    DraftAdvisories {},
    /// Runs a program of the repository. Its output is kept as evidence.
    Program {
        /// Program and arguments.
        run: Vec<String>,
        /// Tells how the world is: exit status 0 for done, 1 for not done, anything else for a conflict.
        #[serde(default)]
        probe: Vec<String>,
        /// Takes it back.
        #[serde(default)]
        undo: Vec<String>,
    },
    /// Publishes the changelog as Markdown and as a page.
    PublishChangelog {
        /// Target.
        target: String,
    },
    /// Publishes the candidate's files with signed sums.
    Publish {
        /// Target.
        target: String,
        /// Whether Raspberry Pi Imager's list shows it.
        #[serde(default)]
        imager_list: bool,
    },
    /// Publishes advisories as CSAF, OSV and Markdown.
    PublishAdvisories {
        /// Target.
        target: String,
    },
    /// Publishes a draft as Markdown and as a page.
    PublishPage {
        /// Target.
        target: String,
        /// File, below the repository's root, with `{version}` for the version.
        file: String,
        /// Name without extension that it is published under, with `{version}` for the version.
        page: String,
    },
    /// Looks whether a page that somebody put online names the version.
    CheckPage {
        /// Address, with `{version}` for the version.
        address: String,
    },
    /// Compares the hashes of the public changelog with the public files.
    CheckHashes {
        /// Target of the changelog.
        changelog: String,
        /// Target of the files.
        files: String,
    },
    /// Follows every link of Markdown files, and looks for the version before.
    CheckLinks {
        /// Files, or folders of which all Markdown counts; below the repository's root.
        files: Vec<String>,
    },
    /// Sends a mail.
    Mail {
        /// Receivers (RFC 5322 mailboxes).
        to: Vec<String>,
        /// Text of the template; its first line is the subject.
        text: String,
    },
    /// Posts a message to a chat.
    Webhook {
        /// Name of the environment variable with the address: who knows it may post.
        address_from: String,
        /// Text of the template.
        text: String,
    },
}

/// How an action belongs to its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// It is the step: when it is done, the step is.
    Whole,
    /// It prepares what a person goes on with.
    Preparation,
}

impl Action {
    /// Returns the names of the targets that it uses, and whether each must take pages.
    pub(super) fn targets(&self) -> Vec<(&str, bool)> {
        match self {
            Self::PublishChangelog { target }
            | Self::PublishAdvisories { target }
            | Self::PublishPage { target, .. } => vec![(target, true)],
            Self::Publish {
                target,
                imager_list,
            } => vec![(target, *imager_list)],
            Self::CheckHashes { changelog, files } => vec![(changelog, true), (files, false)],
            _ => Vec::new(),
        }
    }

    /// Returns the text of the template that it fills in.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Draft { text, .. } | Self::Mail { text, .. } | Self::Webhook { text, .. } => {
                Some(text)
            }
            _ => None,
        }
    }

    /// Returns whether the world can tell if it was done.
    pub fn has_probe(&self) -> bool {
        match self {
            Self::Program { probe, .. } => !probe.is_empty(),
            // A message is known by what the journal says of its attempts; a person settles the rest.
            _ => true,
        }
    }

    /// Returns whether it is the whole step or prepares it.
    pub fn chore(&self) -> Chore {
        match self {
            Self::Draft { .. } | Self::DraftAdvisories {} => Chore::Preparation,
            _ => Chore::Whole,
        }
    }
}
