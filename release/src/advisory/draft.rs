//! The draft of an advisory: what only people know.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::changelog::Fragment;
use crate::template::{Problem, Problems};

/// A draft, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Draft {
    /// Number among the publisher's advisories, such as `ACME-2026-001`.
    pub id: String,
    /// Number of the vulnerability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cve: Option<String>,
    /// One line.
    pub title: String,
    /// What the hole is.
    pub summary: String,
    /// The first version that has it.
    pub first_affected: String,
    /// What can happen, and to whom.
    pub risk: String,
    /// What those can do who cannot update.
    #[serde(default)]
    pub workaround: String,
    /// Severity as a CVSS 3.1 vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<String>,
    /// Who found it.
    #[serde(default)]
    pub credits: Vec<String>,
    /// Pages with more.
    #[serde(default)]
    pub references: Vec<String>,
}

impl Draft {
    /// Returns the CVSS base metrics; they were checked when the draft was read.
    pub(super) fn metrics(&self) -> Option<cvss::v3::Vector> {
        self.cvss.as_deref()?.parse().ok()
    }
}

/// Returns the beginning of a draft for a security fragment, for people to fill in.
pub fn draft_for(fragment: &Fragment, id: &str) -> String {
    let cve = match &fragment.cve {
        Some(cve) => format!("cve = {cve:?}\n"),
        None => "# cve = \"CVE-…\"          request one from your CNA\n".to_owned(),
    };
    let title = fragment.text.lines().next().unwrap_or_default();
    format!(
        "# Of the fragment {}. Keep this out of public branches until it is published.\n\
         id = {id:?}\n{cve}\
         title = {title:?}\n\
         # What the hole is, in two sentences.\n\
         summary = \"\"\n\
         # The first version that has it.\n\
         first-affected = \"\"\n\
         # What can happen, and to whom: versions, settings.\n\
         risk = \"\"\n\
         # What those can do who cannot update.\n\
         workaround = \"\"\n\
         # cvss = \"CVSS:3.1/AV:N/…\"\n\
         credits = []\n\
         references = []\n",
        fragment.name
    )
}

/// Reads one draft.
pub fn load(file: &Path) -> Result<Draft, Problems> {
    let problem = |line, text: String| Problem {
        file: file.to_owned(),
        line,
        text,
    };
    let one = |problem| Problems(vec![problem]);
    let text =
        fs_err::read_to_string(file).map_err(|error| one(problem(None, error.to_string())))?;
    let draft: Draft = toml::from_str(&text).map_err(|error| {
        let line = error.span();
        let line = line.map(|span| text[..span.start].matches('\n').count() + 1);
        one(problem(line, error.message().to_owned()))
    })?;
    let mut problems = Vec::new();
    let mut wrong = |key: &str, why: &str| {
        let line = text.lines().position(|line| line.starts_with(key));
        problems.push(problem(
            line.map(|index| index + 1),
            format!("“{key}” {why}"),
        ));
    };
    for (key, value) in [
        ("id", &draft.id),
        ("title", &draft.title),
        ("summary", &draft.summary),
        ("first-affected", &draft.first_affected),
        ("risk", &draft.risk),
    ] {
        if value.trim().is_empty() {
            wrong(key, "is empty: users will ask");
        }
    }
    if draft
        .cve
        .as_deref()
        .is_some_and(|cve| !crate::changelog::is_cve(cve))
    {
        wrong("cve", "is not of the form CVE-YEAR-NUMBER");
    }
    if draft.cvss.is_some() && draft.metrics().is_none() {
        wrong(
            "cvss",
            "is no CVSS 3.1 vector, such as CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        );
    }
    if draft
        .references
        .iter()
        .any(|reference| !reference.starts_with("http"))
    {
        wrong("references", "has something that is no address");
    }
    if problems.is_empty() {
        Ok(draft)
    } else {
        Err(Problems(problems))
    }
}

/// Reads all drafts of a folder, by file name; all problems at once.
pub fn read_folder(folder: &Path) -> Result<Vec<Draft>, Problems> {
    let mut files: Vec<_> = match fs_err::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let (mut drafts, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match load(&file) {
            Ok(draft) => drafts.push(draft),
            Err(Problems(more)) => problems.extend(more),
        }
    }
    if problems.is_empty() {
        Ok(drafts)
    } else {
        Err(Problems(problems))
    }
}
