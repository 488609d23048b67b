//! Texts of the template, filled in with the facts of the release.

use std::collections::BTreeMap;

use release::changelog::{self, Entry};
use release::journal::{Disposition, Verdict};
use serde::Serialize;

use crate::error::ActionError;
use crate::job::Job;

#[derive(Serialize)]
struct Facts {
    product: String,
    version: String,
    label: String,
    candidate: String,
    website: String,
    changelog: String,
    announcement: String,
    downloads: Option<String>,
    known_issues: Vec<String>,
}

/// Fills in a text.
pub(crate) fn render(job: &Job<'_>, name: &str) -> Result<String, ActionError> {
    let text = &job.run.template().texts[name];
    let facts = facts(job)?;
    let failed = |source| ActionError::Text {
        name: name.to_owned(),
        source,
    };
    let mut environment = minijinja::Environment::new();
    // A name that is not known is a mistake, not an empty place.
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let syntax = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .build()
        .expect("the usual marks");
    environment.set_syntax(syntax);
    environment.add_template(name, text).map_err(failed)?;
    let template = environment.get_template(name).map_err(failed)?;
    template
        .render(minijinja::value::Serde(facts))
        .map_err(failed)
}

fn facts(job: &Job<'_>) -> Result<Facts, ActionError> {
    let candidate = job.run.candidate();
    let entry = changelog::find(&job.changelog()?, job.version);
    let announcement = job.path("release/announcements/{version}.md");
    let announcement = fs_err::read_to_string(announcement).unwrap_or_default();
    Ok(Facts {
        product: job.product().name.clone(),
        version: job.version.to_owned(),
        label: candidate.map_or(String::new(), |c| c.label.clone()),
        candidate: candidate.map_or(String::new(), |c| c.digest.to_string()),
        website: job.product().website.clone(),
        changelog: entry.map_or(String::new(), |entry| without_comments(&entry)),
        announcement: strip_comments(&announcement),
        downloads: downloads(job),
        known_issues: known_issues(job),
    })
}

/// The findings that the release goes out with.
fn known_issues(job: &Job<'_>) -> Vec<String> {
    let decisions = job.run.steps.values().flat_map(|step| &step.decisions);
    let go = decisions.filter(|decision| decision.verdict == Verdict::Go);
    let decided: BTreeMap<&String, &Disposition> =
        go.flat_map(|decision| &decision.findings).collect();
    let known = decided
        .into_iter()
        .filter(|(_, what)| matches!(what, Disposition::KnownIssue | Disposition::Defer));
    known
        .filter_map(|(name, _)| Some(job.run.findings.get(name)?.title.clone()))
        .collect()
}

/// Where people get it: the first target that something is published to and that has an address.
fn downloads(job: &Job<'_>) -> Option<String> {
    use release::template::{Action, TargetToml};
    let targets =
        job.run
            .template()
            .steps
            .iter()
            .filter_map(|step| match step.written.action.as_ref()? {
                Action::Publish { target, .. } => Some(job.target(target)),
                _ => None,
            });
    let mut addresses = targets.filter_map(|target| match target {
        TargetToml::Folder { address, .. } | TargetToml::S3 { address, .. } => {
            let address = address.as_deref()?.trim_end_matches('/');
            Some(format!("{address}/{}/", job.version))
        }
        TargetToml::Github {
            repository, tag, ..
        } => Some(format!(
            "https://github.com/{repository}/releases/tag/{}",
            job.named(tag)
        )),
    });
    addresses.next()
}

fn without_comments(entry: &Entry) -> String {
    strip_comments(&entry.text)
}

/// Returns Markdown without its comments: notes to writers are not for readers.
pub(crate) fn strip_comments(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after
            .split_once("-->")
            .map_or("", |(_, after)| after.trim_start_matches('\n'));
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// Returns the note of a release: the changelog's entry.
pub fn release_notes(job: &Job<'_>) -> Result<String, ActionError> {
    let entry = changelog::find(&job.changelog()?, job.version);
    let entry = entry.ok_or_else(|| {
        ActionError::Refused(format!(
            "the changelog has no entry for {}: run the step that drafts it",
            job.version
        ))
    })?;
    Ok(entry.text + "\n")
}
