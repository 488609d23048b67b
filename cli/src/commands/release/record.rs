//! Commands that add an event.

use std::collections::BTreeMap;
use std::process::ExitCode;

use content_digest::Sha256Digest;
use release::candidate;
use release::changelog::{self, Fragment};
use release::journal::{self, Disposition, Journal, Place, RunKind, What};
use release::template::Template;

use super::Outcome;
use super::context::{Context, journal_root};
use super::{automate, flashed, show};
use crate::arguments::release::{
    CandidateCommand, EvidenceCommand, Kind, ReleaseArguments, ReleaseCommand, Settled, Verdict,
};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn start(
    arguments: &ReleaseArguments,
    version: &str,
    kind: Option<Kind>,
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
    if journal.is_begun() {
        return Err(usage(format!("release {version} was begun already")));
    }
    let kind = match kind {
        Some(kind) => kind,
        None => ask_kind(ui)?,
    };
    // Of a start that was interrupted: nothing was recorded, so nothing is lost.
    if journal.template().exists() {
        fs_err::remove_dir_all(journal.template())
            .map_err(CommandError::io("copy the template"))?;
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
    context.refresh()?;
    show::status(&context, ui);
    Ok(ExitCode::SUCCESS)
}

/// Asks the person at the terminal what kind of release it is.
fn ask_kind(ui: &mut Ui) -> Result<Kind, CommandError> {
    use std::io::{BufRead as _, IsTerminal as _};
    let missing =
        || usage("say what kind of release it is: --kind feature, patch or security".into());
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    ui.status("What kind of release is it? feature (new behaviour), patch (repairs) or security (repairs of vulnerabilities)");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(CommandError::io("read the answer"))?;
    match answer.trim() {
        "feature" => Ok(Kind::Feature),
        "patch" => Ok(Kind::Patch),
        "security" => Ok(Kind::Security),
        _ => Err(missing()),
    }
}

pub(super) fn record(mut context: Context, command: &ReleaseCommand, ui: &mut Ui) -> Outcome {
    let what = event(&context, command)?;
    let event = context.record(what)?;
    context.refresh()?;
    if let ReleaseCommand::Yank { .. } = command {
        automate::mark_yanked(&context, ui)?;
    }
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
            automate::note_build(context, &build)?;
            let product = &context.template().release.product;
            let fragments = changelog::read_folder(
                &context.project.join(&product.fragments),
                Some(context.template()),
            )
            .map_err(CommandError::Template)?;
            let mut all_facts = Fragment::facts(&fragments);
            all_facts.extend(facts.iter().cloned());
            all_facts.sort();
            all_facts.dedup();
            let number = context.run().candidates.len() + 1;
            What::CandidateAdded {
                candidate: build.digest,
                label: label.clone().unwrap_or_else(|| format!("rc{number}")),
                image: build.image,
                facts: all_facts,
                owners: Fragment::owners(&fragments),
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
            let of_record = flashed::check(context, file, &candidate, serial.as_deref())?;
            let mut file = context
                .evidence
                .add(file)
                .map_err(CommandError::io("add the evidence"))?;
            file.seconds = *seconds;
            file.serial = serial.clone().or(of_record);
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
        ReleaseCommand::Handoff {
            step,
            answer: Some(answer),
            note,
            ..
        } => What::HandoffAnswered {
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
        ReleaseCommand::Delegate { role, to, reason } => What::RoleDelegated {
            role: role.clone(),
            to: to.clone(),
            reason: reason.clone(),
        },
        ReleaseCommand::Settle {
            step,
            outcome,
            note,
        } => What::AttemptFinished {
            step: step.clone(),
            candidate: current(context).ok(),
            outcome: match outcome {
                Settled::Done => journal::Outcome::Done,
                Settled::Failed => journal::Outcome::Failed,
            },
            note: note.clone(),
        },
        ReleaseCommand::Retro { note } => What::RetroNoted { note: note.clone() },
        ReleaseCommand::Close => What::Closed {},
        _ => return Err(usage("this command adds no event".into())),
    })
}

/// The template's decision: there is one, or the command line must not guess.
fn decision_step(context: &Context) -> Result<String, CommandError> {
    let mut steps = context
        .template()
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
