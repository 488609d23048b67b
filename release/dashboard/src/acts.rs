//! What a form says, as an event.

use std::collections::BTreeMap;

use content_digest::Sha256Digest;
use release::journal::{Disposition, Place, Verdict, What};
use release::run::{Evidence, Run};
use release::template::Step;
use serde::Deserialize;

/// The fields of all forms. A form sends those that it has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Form {
    pub(crate) act: String,
    pub(crate) step: String,
    note: String,
    reason: String,
    finding: String,
    title: String,
    evidence: String,
    at: String,
    question: String,
    answer: String,
    unknown: String,
    image: String,
    reports: String,
    hours: String,
    role: String,
    to: String,
    #[serde(flatten)]
    more: BTreeMap<String, String>,
}

impl Form {
    /// Returns the event, or what is wrong with the form.
    pub(crate) fn event(self, run: &Run<'_>) -> Result<What, String> {
        let step = self.step.clone();
        let now = run.candidate().map(|candidate| candidate.digest);
        let candidate = now.ok_or_else(|| "there is no candidate yet".to_owned());
        Ok(match self.act.as_str() {
            "claim" => What::StepClaimed { step },
            "give-back" => What::StepReleased { step },
            "done" => What::StepDone {
                step,
                candidate: now,
                note: self.note,
            },
            "confirm" => What::StepConfirmed {
                step,
                candidate: candidate?,
                reason: self.reason,
            },
            "waive" => What::StepWaived {
                step,
                reason: self.reason,
            },
            "approve" | "refuse" => {
                let found = run.template().step(&step);
                let found = found.ok_or("there is no such step")?;
                What::ReviewGiven {
                    candidate: candidate?,
                    evidence: self.looked_at(run, found),
                    approves: self.act == "approve",
                    note: self.note,
                    step,
                }
            }
            "finding" => What::FindingAdded {
                finding: name_for(run, &self.finding, &self.title)?,
                at: place(&self.evidence, &self.at)?,
                title: self.title,
            },
            "input" => What::InputGiven {
                finding: self.finding,
                question: self.question,
                answer: match (self.unknown.as_str(), self.answer.trim()) {
                    ("", "") => return Err("write an answer, or say that it is unknown".into()),
                    ("", answer) => Some(answer.to_owned()),
                    _ => None,
                },
            },
            "go" | "no-go" => What::DecisionMade {
                step,
                candidate: candidate?,
                verdict: if self.act == "go" {
                    Verdict::Go
                } else {
                    Verdict::NoGo
                },
                findings: dispositions(&self.more)?,
                reason: self.reason,
            },
            "check-in" => What::CheckedIn {
                step,
                reports: number(&self.reports, "how many reports there were")?,
                note: self.note,
            },
            "extend" => What::WaitExtended {
                step,
                hours: number(&self.hours, "how many hours more")?,
                reason: self.reason,
            },
            "answer" => What::HandoffAnswered {
                step,
                candidate: candidate?,
                image: digest(&self.image)?,
                note: self.note,
            },
            "delegate" => What::RoleDelegated {
                role: self.role,
                to: self.to,
                reason: self.reason,
            },
            "yank" => What::Yanked {
                reason: self.reason,
            },
            "abort" => What::Aborted {
                reason: self.reason,
            },
            "retro" if self.note.trim().is_empty() => return Err("write a sentence".into()),
            "retro" => What::RetroNoted { note: self.note },
            "close" => What::Closed {},
            other => return Err(format!("“{other}” is nothing that can be done here")),
        })
    }

    /// Evidence whose box was ticked: what the reviewer says they looked at.
    fn looked_at(&self, run: &Run<'_>, review: &Step) -> Vec<Sha256Digest> {
        let all = to_review(run, review).into_iter();
        let ticked = |digest: &Sha256Digest| self.more.contains_key(&format!("seen-{digest}"));
        all.map(|(_, evidence)| evidence.file.sha256)
            .filter(ticked)
            .collect()
    }
}

/// Returns the evidence that a review is about, with its steps.
pub(crate) fn to_review<'r>(run: &'r Run<'_>, review: &'r Step) -> Vec<(&'r str, &'r Evidence)> {
    let mut found = Vec::new();
    for name in &review.written.reviews {
        if let Some(step) = run.template().step(name) {
            found.extend(
                run.evidence_of(step)
                    .into_iter()
                    .map(|e| (name.as_str(), e)),
            );
        }
    }
    found
}

fn number(text: &str, what: &str) -> Result<u32, String> {
    text.trim()
        .parse()
        .map_err(|_none| format!("say in digits {what}"))
}

fn digest(text: &str) -> Result<Sha256Digest, String> {
    let text = text.trim().to_lowercase();
    text.parse()
        .map_err(|_none| format!("“{text}” is no SHA-256: 64 digits and letters from a to f"))
}

/// A finding's name from its title, if nobody gave one.
fn name_for(run: &Run<'_>, name: &str, title: &str) -> Result<String, String> {
    if title.trim().is_empty() {
        return Err("say in a sentence what is wrong".into());
    }
    if !name.trim().is_empty() {
        return Ok(name.trim().to_owned());
    }
    let word = |letter: char| letter.is_ascii_alphanumeric();
    let lower = title.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter| !word(letter))
        .filter(|w| w.len() > 2)
        .collect();
    let base = words.iter().take(3).copied().collect::<Vec<_>>().join("-");
    let base = if base.is_empty() {
        "finding".to_owned()
    } else {
        base
    };
    let mut names = (2..).map(|number| format!("{base}-{number}"));
    if !run.findings.contains_key(&base) {
        return Ok(base);
    }
    Ok(names
        .find(|name| !run.findings.contains_key(name))
        .expect("there are more numbers than findings"))
}

/// `1:23` or `83` in a piece of evidence.
fn place(evidence: &str, at: &str) -> Result<Option<Place>, String> {
    if evidence.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("“{at}” is no time: write minutes and seconds, as 1:23");
    let mut second = 0;
    for part in at.trim().split(':').filter(|part| !part.is_empty()) {
        let number: u64 = part.parse().map_err(|_none| wrong())?;
        second = second * 60 + number;
    }
    Ok(Some(Place {
        evidence: digest(evidence)?,
        second,
    }))
}

/// Fields `finding-NAME` say what is done about each.
fn dispositions(more: &BTreeMap<String, String>) -> Result<BTreeMap<String, Disposition>, String> {
    let mut found = BTreeMap::new();
    for (field, value) in more {
        let Some(name) = field.strip_prefix("finding-") else {
            continue;
        };
        let what = match value.as_str() {
            "" => continue,
            "fix-now" => Disposition::FixNow,
            "fixed" => Disposition::Fixed,
            "known-issue" => Disposition::KnownIssue,
            "defer" => Disposition::Defer,
            "not-a-bug" => Disposition::NotABug,
            other => {
                return Err(format!(
                    "“{other}” is nothing that can be done about a finding"
                ));
            }
        };
        found.insert(name.to_owned(), what);
    }
    Ok(found)
}
