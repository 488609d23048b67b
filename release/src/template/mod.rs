//! The checklist as a team writes it: steps, playbooks, roles and people, in the product's own
//! repository, reviewed like code.
//!
//! ```text
//! release/template/
//!   release.toml        budget, roles, questions
//!   people.toml         who has which role and key
//!   steps/<name>.toml   a step …
//!   steps/<name>.md     … and its playbook
//!   texts/<name>        what drafts, mails and messages begin as (minijinja)
//! ```

mod action;
mod lint;
mod names;
mod order;
pub mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use content_digest::{DigestBuilder, Sha256Digest};

use crate::journal::AllowedSigners;
use written::{PeopleToml, PersonToml, ReleaseToml, StepToml};

pub use action::{Action, Chore};
pub(crate) use lint::reviewers;
pub use lint::{Finding, lint};
pub use written::{Budget, Effect, Kind, TargetToml};

/// The form of the files that this program reads.
pub const SCHEMA: u32 = 1;

/// A step with its name.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name of its files.
    pub name: String,
    /// As written.
    pub written: StepToml,
    /// The playbook, Markdown.
    pub playbook: Option<String>,
}

/// A whole template. Its steps are in an order in which they can be done.
#[derive(Debug, Clone)]
pub struct Template {
    /// `release.toml`
    pub release: ReleaseToml,
    /// `people.toml`
    pub people: PeopleToml,
    /// Steps, each after those that it waits for.
    pub steps: Vec<Step>,
    /// Texts by file name.
    pub texts: BTreeMap<String, String>,
    /// Digest of all its files.
    pub digest: Sha256Digest,
}

/// Something is wrong in a template's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1; none for the whole file.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            None => write!(f, "{}: {}", self.file.display(), self.text),
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

/// Files that people wrote cannot be used. All problems at once.
#[derive(Debug, thiserror::Error)]
#[error("these files are not right:\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct Problems(pub Vec<Problem>);

impl Template {
    /// Reads a template's folder.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        let release: Option<ReleaseToml> = reader.toml(&folder.join("release.toml"));
        let people: Option<PeopleToml> = reader.toml(&folder.join("people.toml"));
        let mut steps = Vec::new();
        for path in reader.step_files(&folder.join("steps")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let written: Option<StepToml> = reader.toml(&path);
            let playbook = reader.text(&path.with_extension("md"));
            if let Some(written) = written {
                steps.push(Step {
                    name: name.into_owned(),
                    written,
                    playbook,
                });
            }
        }
        let (Some(release), Some(people)) = (release, people) else {
            return Err(Problems(reader.problems));
        };
        let texts = reader.texts(&folder.join("texts"));
        if release.schema != SCHEMA {
            reader.problem_near(
                &folder.join("release.toml"),
                "schema",
                format!(
                    "schema {} is not known; this program reads schema {SCHEMA}",
                    release.schema
                ),
            );
        }
        names::check(folder, &release, &people, &steps, &texts, &mut reader);
        let steps = match order::in_order(steps) {
            Ok(steps) => steps,
            Err(circle) => {
                let file = folder.join("steps").join(format!("{}.toml", circle[0]));
                reader.problem_near(
                    &file,
                    "after",
                    format!("steps wait for each other: {}", circle.join(" → ")),
                );
                Vec::new()
            }
        };
        if reader.problems.is_empty() {
            Ok(Self {
                release,
                people,
                steps,
                texts,
                digest: reader.digest(folder),
            })
        } else {
            Err(Problems(reader.problems))
        }
    }

    /// Copies the files that were read: a run keeps the template that it began with.
    pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
        fs_err::create_dir_all(to.join("steps"))?;
        for name in ["release.toml", "people.toml"] {
            fs_err::copy(from.join(name), to.join(name))?;
        }
        for entry in fs_err::read_dir(from.join("steps"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "toml" || e == "md") {
                fs_err::copy(
                    &path,
                    to.join("steps").join(path.file_name().unwrap_or_default()),
                )?;
            }
        }
        for path in files_of(&from.join("texts"))? {
            fs_err::create_dir_all(to.join("texts"))?;
            fs_err::copy(
                &path,
                to.join("texts").join(path.file_name().unwrap_or_default()),
            )?;
        }
        Ok(())
    }

    /// Returns a step by name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns whether a person has a role.
    pub fn has_role(&self, person: &str, role: &str) -> bool {
        self.people
            .people
            .get(person)
            .is_some_and(|person| person.roles.iter().any(|known| known == role))
    }

    /// Returns whether a person may leave out steps.
    pub fn may_waive(&self, person: &str) -> bool {
        let may = |role: &String| self.release.roles.get(role).is_some_and(|r| r.may_waive);
        self.people
            .people
            .get(person)
            .is_some_and(|person| person.roles.iter().any(may))
    }

    /// Returns the people with a role.
    pub fn people_with(&self, role: &str) -> Vec<&str> {
        let has = |person: &PersonToml| person.roles.iter().any(|known| known == role);
        let people = self.people.people.iter();
        people
            .filter(|(_, person)| has(person))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Returns the keys of people and servers. They were checked when the template was read.
    pub fn signers(&self) -> AllowedSigners {
        let mut signers = AllowedSigners::default();
        let people = self.people.people.iter();
        for (name, key) in people.flat_map(|(name, p)| p.keys.iter().map(move |key| (name, key))) {
            signers.add(name, key).expect("checked when it was read");
        }
        for (name, server) in &self.people.servers {
            let added = signers.add_server(name, &server.key);
            added.expect("checked when it was read");
        }
        signers
    }
}

/// Reads files, and keeps what is wrong with them.
#[derive(Debug, Default)]
struct Reader {
    problems: Vec<Problem>,
    files: BTreeMap<PathBuf, String>,
}

impl Reader {
    fn problem(&mut self, file: &Path, text: String) {
        self.problem_at(file, None, text);
    }

    /// Tells a problem at the first line of the file that has `word`.
    fn problem_near(&mut self, file: &Path, word: &str, text: String) {
        let lines = self.files.get(file).map_or("", String::as_str).lines();
        let line = lines
            .enumerate()
            .find(|(_, line)| !line.trim_start().starts_with('#') && line.contains(word));
        self.problem_at(file, line.map(|(index, _)| index + 1), text);
    }

    fn problem_at(&mut self, file: &Path, line: Option<usize>, text: String) {
        let file = file.to_owned();
        self.problems.push(Problem { file, line, text });
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        let text = fs_err::read_to_string(path).ok()?;
        self.files.insert(path.to_owned(), text.clone());
        Some(text)
    }

    fn toml<T: serde::de::DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let Some(text) = self.text(path) else {
            self.problem(path, "the file is not there, or no UTF-8 text".into());
            return None;
        };
        match toml::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let line = error
                    .span()
                    .map(|span| text[..span.start].matches('\n').count() + 1);
                self.problem_at(path, line, error.message().to_owned());
                None
            }
        }
    }

    fn texts(&mut self, folder: &Path) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for path in files_of(folder).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match self.text(&path) {
                Some(text) => drop(texts.insert(name.into_owned(), text)),
                None => self.problem(&path, "no UTF-8 text".into()),
            }
        }
        texts
    }

    fn step_files(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = match fs_err::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(folder, error.to_string());
                return Vec::new();
            }
        };
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        files
    }

    /// The digest of all files by their names below the folder.
    fn digest(&self, folder: &Path) -> Sha256Digest {
        let mut digest = DigestBuilder::new();
        for (path, file) in &self.files {
            let name = path.strip_prefix(folder).unwrap_or(path);
            digest
                .part(name.as_os_str().as_encoded_bytes())
                .part(Sha256Digest::of(file).as_bytes());
        }
        digest.finish()
    }
}

/// Returns the visible files of a folder that may not be there, by name.
fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.exists() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            let is_hidden = path
                .file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_file() && !is_hidden {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
