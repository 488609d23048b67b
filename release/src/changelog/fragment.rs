//! A fragment: one change, in a file of its own, so that two developers never edit the same line.
//!
//! ```text
//! changes/static-address.md
//!   +++
//!   kind = "security"            added, changed, deprecated, removed, fixed or security
//!   cve = "CVE-2026-12345"       of a security fix, when there is one
//!   breaking = true              users must do something
//!   behaviour-change = true      what testers must see …
//!   owners = ["dora"]            … and who must see the footage
//!   test = "3.2 static address"  section of the test plan that shows it
//!   +++
//!   One sentence for users, in Markdown.
//! ```

use std::path::Path;

use serde::Deserialize;

use crate::template::{Problem, Problems, Template};

/// What kind of change it is, in the order of a changelog's sections: what users must know first, first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A repaired vulnerability.
    Security,
    /// New.
    Added,
    /// Different.
    Changed,
    /// To be removed.
    Deprecated,
    /// Gone.
    Removed,
    /// Repaired.
    Fixed,
}

impl ChangeKind {
    /// Returns the section's heading (Keep a Changelog).
    pub fn title(self) -> &'static str {
        match self {
            Self::Security => "Security",
            Self::Added => "Added",
            Self::Changed => "Changed",
            Self::Deprecated => "Deprecated",
            Self::Removed => "Removed",
            Self::Fixed => "Fixed",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Head {
    kind: ChangeKind,
    #[serde(default)]
    cve: Option<String>,
    #[serde(default)]
    breaking: bool,
    #[serde(default)]
    behaviour_change: bool,
    #[serde(default)]
    owners: Vec<String>,
    #[serde(default)]
    test: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// File name without extension.
    pub name: String,
    /// Kind.
    pub kind: ChangeKind,
    /// Number of the vulnerability.
    pub cve: Option<String>,
    /// Users must do something.
    pub breaking: bool,
    /// What the product does is different.
    pub behaviour_change: bool,
    /// Developers who know what it should look like.
    pub owners: Vec<String>,
    /// Section of the test plan that shows it.
    pub test: Option<String>,
    /// What users read.
    pub text: String,
}

/// Reads all fragments of a folder, by name; none if it is not there. With a template, owners must be
/// people of it.
pub fn read_folder(folder: &Path, template: Option<&Template>) -> Result<Vec<Fragment>, Problems> {
    let mut fragments = Vec::new();
    let mut problems = Vec::new();
    let mut trouble = |file: &Path, line, text| {
        let file = file.to_owned();
        problems.push(Problem { file, line, text });
    };
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(fragments),
        Err(error) => {
            trouble(folder, None, error.to_string());
            return Err(Problems(problems));
        }
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let text = match fs_err::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => {
                trouble(&file, None, error.to_string());
                continue;
            }
        };
        match Fragment::parse(&name, &text) {
            Ok(fragment) => {
                let people = template.map(|template| &template.people.people);
                for owner in &fragment.owners {
                    if people.is_some_and(|people| !people.contains_key(owner)) {
                        let line = line_of(&text, owner);
                        trouble(&file, line, format!("{owner} is nobody in people.toml"));
                    }
                }
                fragments.push(fragment);
            }
            Err((line, text)) => trouble(&file, line, text),
        }
    }
    if problems.is_empty() {
        Ok(fragments)
    } else {
        Err(Problems(problems))
    }
}

fn line_of(text: &str, word: &str) -> Option<usize> {
    let found = text.lines().position(|line| line.contains(word));
    found.map(|index| index + 1)
}

impl Fragment {
    /// Reads a fragment. A problem comes with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, (Option<usize>, String)> {
        let no_head = || {
            (
                Some(1),
                "it does not begin with a head between two lines “+++”".to_owned(),
            )
        };
        let rest = text.strip_prefix("+++\n").ok_or_else(no_head)?;
        let (head, body) = rest.split_once("\n+++\n").ok_or_else(no_head)?;
        let head: Head = toml::from_str(head).map_err(|error| {
            // The first line is the “+++” before the head.
            let line = error
                .span()
                .map(|span| head[..span.start].matches('\n').count() + 2);
            (line, error.message().to_owned())
        })?;
        let body = body.trim();
        let wrong = |key: &str, why: &str| Err((line_of(text, key).or(Some(1)), why.to_owned()));
        if body.is_empty() {
            return wrong(
                "",
                "it has no text: say in a sentence what changes for users",
            );
        }
        if body.lines().any(|line| line.starts_with('#')) {
            return wrong("#", "a fragment has no headings: the changelog makes them");
        }
        if head.behaviour_change && head.owners.is_empty() {
            return wrong(
                "behaviour-change",
                "a change of behaviour needs “owners”: who must see the footage of its test",
            );
        }
        if head.behaviour_change && head.test.is_none() {
            return wrong(
                "behaviour-change",
                "a change of behaviour needs “test”: the section of the test plan that shows it",
            );
        }
        if let Some(cve) = &head.cve
            && (head.kind != ChangeKind::Security || !is_cve(cve))
        {
            return wrong("cve", "“cve” is CVE-YEAR-NUMBER, of a security fix");
        }
        Ok(Self {
            name: name.to_owned(),
            kind: head.kind,
            cve: head.cve,
            breaking: head.breaking,
            behaviour_change: head.behaviour_change,
            owners: head.owners,
            test: head.test,
            text: body.to_owned(),
        })
    }

    /// Returns the conditions that fragments give a candidate.
    pub fn facts(fragments: &[Self]) -> Vec<String> {
        let mut facts = Vec::new();
        if fragments.iter().any(|f| f.kind == ChangeKind::Security) {
            facts.push("has-security-fix".to_owned());
        }
        if fragments.iter().any(|f| f.behaviour_change) {
            facts.push("has-behaviour-change".to_owned());
        }
        facts
    }

    /// Returns the developers who must see the footage, by name.
    pub fn owners(fragments: &[Self]) -> Vec<String> {
        let changed = fragments.iter().filter(|f| f.behaviour_change);
        let mut owners: Vec<String> = changed.flat_map(|f| f.owners.iter().cloned()).collect();
        owners.sort();
        owners.dedup();
        owners
    }
}

/// `CVE-2026-12345`: four digits or more at the end (CVE ID syntax, 2014).
pub(crate) fn is_cve(text: &str) -> bool {
    let Some((year, number)) = text.strip_prefix("CVE-").and_then(|t| t.split_once('-')) else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    year.len() == 4 && number.len() >= 4 && digits(year) && digits(number)
}
