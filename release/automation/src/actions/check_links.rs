//! Follows every link of Markdown files, and looks for the version before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Action, Probe};
use crate::error::ActionError;
use crate::http;
use crate::job::Job;
use crate::pages;

pub(super) struct CheckLinks<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) files: &'a [String],
}

impl CheckLinks<'_> {
    /// The Markdown files that are meant, by name. What is not there has no links.
    fn markdown(&self) -> Result<Vec<PathBuf>, ActionError> {
        let mut files = Vec::new();
        for name in self.files {
            collect(&self.job.path(name), &mut files)?;
        }
        files.sort();
        Ok(files)
    }

    /// The version before this one, by the changelog.
    fn before(&self) -> Result<Option<String>, ActionError> {
        let text = self.job.changelog()?;
        let versions = text.lines().filter_map(|line| {
            let version = line.strip_prefix("## [")?.split(']').next()?;
            (version != "Unreleased").then(|| version.to_owned())
        });
        let mut later = versions.skip_while(|version| version != self.job.version);
        Ok(later.nth(1))
    }

    fn wrong(&self) -> Result<(usize, Vec<String>), ActionError> {
        let client = http::client()?;
        let before = self.before()?;
        let mut answers: BTreeMap<String, Option<String>> = BTreeMap::new();
        let (mut count, mut wrong) = (0, Vec::new());
        for file in self.markdown()? {
            let text = fs_err::read_to_string(&file).map_err(ActionError::read(&file))?;
            for (line, link) in pages::links(&text) {
                count += 1;
                let answer = match answers.get(&link) {
                    Some(answer) if link.contains("://") => answer.clone(),
                    _ => trouble(&client, &file, &link),
                };
                if let Some(why) = &answer {
                    wrong.push(format!("{}:{line}: {link}: {why}", file.display()));
                }
                answers.insert(link, answer);
            }
            if let Some(before) = &before {
                let lines = text.lines().enumerate();
                let named = lines.filter(|(_, line)| names(line, before));
                wrong.extend(named.map(|(index, _)| {
                    format!(
                        "{}:{}: names the old version {before}",
                        file.display(),
                        index + 1
                    )
                }));
            }
        }
        Ok((count, wrong))
    }
}

/// Whether a line names a version, and not a longer one that begins or ends like it.
fn names(line: &str, version: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    line.match_indices(version).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let mut after = line[at + version.len()..].chars();
        let next = after.next();
        // A full stop at the end of a sentence is none of the version.
        let goes_on = match next {
            Some('.') => after.next().is_some_and(|letter| letter.is_ascii_digit()),
            Some(letter) => letter.is_ascii_digit(),
            None => false,
        };
        !before.is_some_and(is_part) && !goes_on
    })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), ActionError> {
    if path.is_dir() {
        for entry in fs_err::read_dir(path).map_err(ActionError::read(path))? {
            collect(&entry.map_err(ActionError::read(path))?.path(), files)?;
        }
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "md") {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Follows a link. Returns what is wrong with it.
fn trouble(client: &reqwest::blocking::Client, file: &Path, link: &str) -> Option<String> {
    if link.starts_with('#') || link.starts_with("mailto:") {
        return None;
    }
    if !link.contains("://") {
        let target = link.split(['#', '?']).next().unwrap_or_default();
        let path = file.parent().unwrap_or(Path::new(".")).join(target);
        return (!path.exists()).then(|| "the file is not there".into());
    }
    let answer = client.get(link).timeout(Duration::from_secs(30)).send();
    match answer {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(format!("the server answered {}", answer.status().as_u16())),
        Err(error) => Some(error.without_url().to_string()),
    }
}

impl Action for CheckLinks<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let (count, wrong) = self.wrong()?;
        Ok(if wrong.is_empty() {
            Probe::Satisfied(format!("{count} links lead somewhere"))
        } else {
            Probe::Conflict(format!("mend these:\n  {}", wrong.join("\n  ")))
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let files = self.markdown()?;
        Ok(files
            .iter()
            .map(|file| format!("follow the links of {}", file.display()))
            .collect())
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        Ok("followed".into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_version_is_not_found_in_a_longer_one() {
        for (line, is_named) in [
            ("get 2.6.0 here", true),
            ("get v2.6.0.", true),
            ("kvm-2.6.0.img.zst", true),
            ("12.6.0", false),
            ("2.6.01", false),
            ("2.6.0.1", false),
        ] {
            assert_eq!(super::names(line, "2.6.0"), is_named, "{line}");
        }
    }
}
