//! Commands that add an event.

use std::collections::BTreeMap;
use std::process::ExitCode;

use content_digest::Sha256Digest;
use release::candidate;
use release::journal::{self, Disposition, Journal, Place, RunKind, What};
use release::template::Template;

use super::Outcome;
use super::context::{Context, journal_root};
use super::show;
use crate::arguments::release::{
    CandidateCommand, EvidenceCommand, Kind, ReleaseArguments, ReleaseCommand, Verdict,
};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn start(
    arguments: &ReleaseArguments,
    version: &str,
    kind: Kind,
    ui: &mut Ui,
) -> Outcome {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    if !version.bytes().all(is_name) || !version.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(usage(format!(
            "“{version}” is no version: letters, digits, dots, hyphens and plus signs"
        )));
    }
    let folder = arguments.folder.join("template");
    let template = Template::load(&folder).map_err(CommandError::Template)?;
    let journal = Journal::new(&journal_root(arguments), version);
    if journal.events().exists() {
        return Err(usage(format!("release {version} was begun already")));
    }
    Template::copy(&folder, &journal.template()).map_err(CommandError::io("copy the template"))?;
    let mut context = Context::of(arguments, version)?;
    let kind = match kind {
        Kind::Feature => RunKind::Feature,
        Kind::Patch => RunKind::Patch,
        Kind::Security => RunKind::Security,
    };
    context.record(What::RunStarted {
        kind,
        template: template.digest,
    })?;
    show::status(&context, ui);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn record(mut context: Context, command: &ReleaseCommand, ui: &mut Ui) -> Outcome {
    let what = event(&context, command)?;
    let event = context.record(what)?;
    let text = format!("recorded as {}\n\n{}", event.id, show::next_text(&context));
    ui.answer(&text, &serde_json::json!({ "event": event }));
    Ok(ExitCode::SUCCESS)
}

/// The candidate that everything is about now.
fn current(context: &Context) -> Result<Sha256Digest, CommandError> {
    let run = context.run();
    let candidate = run.candidate().map(|candidate| candidate.digest);
    candidate.ok_or_else(|| {
        usage("there is no candidate yet: run “bakelite release candidate add MANIFEST”".into())
    })
}

fn event(context: &Context, command: &ReleaseCommand) -> Result<What, CommandError> {
    Ok(match command {
        ReleaseCommand::Candidate(CandidateCommand::Add {
            manifest,
            label,
            facts,
        }) => {
            let build = candidate::check(manifest).map_err(CommandError::Candidate)?;
            let number = context.run().candidates.len() + 1;
            What::CandidateAdded {
                candidate: build.digest,
                label: label.clone().unwrap_or_else(|| format!("rc{number}")),
                image: build.image,
                facts: facts.clone(),
            }
        }
        ReleaseCommand::Claim { step } => What::StepClaimed { step: step.clone() },
        ReleaseCommand::GiveBack { step } => What::StepReleased { step: step.clone() },
        ReleaseCommand::Done { step, note } => What::StepDone {
            step: step.clone(),
            candidate: current(context).ok(),
            note: note.clone(),
        },
        ReleaseCommand::Confirm { step, reason } => What::StepConfirmed {
            step: step.clone(),
            candidate: current(context)?,
            reason: reason.clone(),
        },
        ReleaseCommand::Waive { step, reason } => What::StepWaived {
            step: step.clone(),
            reason: reason.clone(),
        },
        ReleaseCommand::Evidence(EvidenceCommand::Add {
            step,
            file,
            seconds,
            serial,
        }) => {
            let candidate = current(context)?;
            let mut file = context
                .evidence
                .add(file)
                .map_err(CommandError::io("add the evidence"))?;
            file.seconds = *seconds;
            file.serial.clone_from(serial);
            What::EvidenceAdded {
                step: step.clone(),
                candidate,
                file,
            }
        }
        _ => return judgement(context, command),
    })
}

fn judgement(context: &Context, command: &ReleaseCommand) -> Result<What, CommandError> {
    Ok(match command {
        ReleaseCommand::Review {
            step,
            approve,
            note,
            ..
        } => What::ReviewGiven {
            step: step.clone(),
            candidate: current(context)?,
            evidence: show::evidence_to_review(context, step)
                .into_iter()
                .map(|(_, evidence)| evidence.file.sha256)
                .collect(),
            approves: *approve,
            note: note.clone(),
        },
        ReleaseCommand::Finding { name, title, at } => What::FindingAdded {
            finding: name.clone(),
            title: title.clone(),
            at: at.as_deref().map(place).transpose()?,
        },
        ReleaseCommand::Input {
            finding,
            question,
            answer,
        } => What::InputGiven {
            finding: finding.clone(),
            question: question.clone(),
            answer: answer.clone(),
        },
        ReleaseCommand::Decide {
            verdict,
            findings,
            reason,
        } => What::DecisionMade {
            step: decision_step(context)?,
            candidate: current(context)?,
            verdict: match verdict {
                Verdict::Go => journal::Verdict::Go,
                Verdict::NoGo => journal::Verdict::NoGo,
            },
            findings: dispositions(findings)?,
            reason: reason.clone(),
        },
        _ => return course(context, command),
    })
}

/// What happens to the release as a whole, and to waits and hand-overs.
fn course(context: &Context, command: &ReleaseCommand) -> Result<What, CommandError> {
    Ok(match command {
        ReleaseCommand::CheckIn {
            step,
            reports,
            note,
        } => What::CheckedIn {
            step: step.clone(),
            reports: *reports,
            note: note.clone(),
        },
        ReleaseCommand::Extend {
            step,
            hours,
            reason,
        } => What::WaitExtended {
            step: step.clone(),
            hours: *hours,
            reason: reason.clone(),
        },
        ReleaseCommand::Handoff { step, answer, note } => What::HandoffAnswered {
            step: step.clone(),
            candidate: current(context)?,
            image: *answer,
            note: note.clone(),
        },
        ReleaseCommand::Yank { reason } => What::Yanked {
            reason: reason.clone(),
        },
        ReleaseCommand::Abort { reason } => What::Aborted {
            reason: reason.clone(),
        },
        ReleaseCommand::Retro { note } => What::RetroNoted { note: note.clone() },
        ReleaseCommand::Close => What::Closed {},
        _ => return Err(usage("this command adds no event".into())),
    })
}

/// The template's decision: there is one, or the command line must not guess.
fn decision_step(context: &Context) -> Result<String, CommandError> {
    let mut steps = context
        .template
        .steps
        .iter()
        .filter(|step| step.written.kind == release::template::Kind::Decision);
    match (steps.next(), steps.next()) {
        (Some(only), None) => Ok(only.name.clone()),
        _ => Err(usage("the template must have exactly one decision".into())),
    }
}

fn place(text: &str) -> Result<Place, CommandError> {
    let parts = text.split_once('@').and_then(|(evidence, second)| {
        let evidence: Sha256Digest = evidence.parse().ok()?;
        let second = second.parse().ok()?;
        Some(Place { evidence, second })
    });
    parts.ok_or_else(|| usage(format!("“{text}” is not of the form SHA256@SECOND")))
}

fn dispositions(pairs: &[String]) -> Result<BTreeMap<String, Disposition>, CommandError> {
    let mut found = BTreeMap::new();
    for pair in pairs {
        let what = pair.split_once('=').and_then(|(name, what)| {
            let what = match what {
                "fix-now" => Disposition::FixNow,
                "fixed" => Disposition::Fixed,
                "known-issue" => Disposition::KnownIssue,
                "defer" => Disposition::Defer,
                "not-a-bug" => Disposition::NotABug,
                _ => return None,
            };
            Some((name.to_owned(), what))
        });
        let (name, what) = what.ok_or_else(|| {
            usage(format!(
                "“{pair}” is not NAME=fix-now, fixed, known-issue, defer or not-a-bug"
            ))
        })?;
        found.insert(name, what);
    }
    Ok(found)
}

fn usage(text: String) -> CommandError {
    CommandError::Usage { text }
}
