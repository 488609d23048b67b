//! Commands that show how a release stands.

use std::fmt::Write as _;
use std::process::ExitCode;

use release::run::{End, Evidence, Run, Status};
use release::template::Step;

use super::Outcome;
use super::context::Context;
use crate::command_error::CommandError;
use crate::ui::{Ui, size};

pub(super) fn status(context: &Context, ui: &mut Ui) {
    let run = context.run();
    let mut text = heading(context, &run);
    let mut steps = Vec::new();
    for step in &context.template().steps {
        let status = run.status(step, context.now);
        let (mark, words) = describe(&run, step, &status);
        writeln!(text, "  {mark} {:<22} {words}", step.name).expect("strings take everything");
        steps.push(
            serde_json::json!({ "step": step.name, "title": step.written.title, "status": words }),
        );
    }
    for (name, finding) in &run.findings {
        writeln!(text, "  ! {name}: {} ({})", finding.title, finding.by)
            .expect("strings take everything");
    }
    for ignored in &run.ignored {
        writeln!(
            text,
            "  ignored: {} by {}: {}",
            ignored.event.short(),
            ignored.actor,
            ignored.refusal
        )
        .expect("strings take everything");
    }
    text.push_str(&problems(context));
    ui.answer(
        &text,
        &serde_json::json!({ "run": context.opened.version, "steps": steps }),
    );
}

pub(super) fn next(context: &Context, ui: &mut Ui) -> Outcome {
    let (person, _) = context.person()?;
    let mine: Vec<String> = context
        .run()
        .next_for(&person, context.now)
        .into_iter()
        .map(|mine| mine.step)
        .collect();
    ui.answer(
        &next_text(context),
        &serde_json::json!({ "run": context.opened.version, "person": person, "steps": mine }),
    );
    Ok(ExitCode::SUCCESS)
}

/// What the person at the keyboard can do now, and who is waited for.
pub(super) fn next_text(context: &Context) -> String {
    let run = context.run();
    let mut text = heading(context, &run);
    let person = context.person().map(|(name, _)| name).unwrap_or_default();
    let mine = run.next_for(&person, context.now);
    for mine in &mine {
        let step = context
            .template()
            .step(&mine.step)
            .expect("of this template");
        let (_, words) = describe(&run, step, &mine.status);
        writeln!(text, "  {:<22} {} ({words})", step.name, step.written.title)
            .expect("strings take everything");
    }
    if mine.is_empty() {
        text.push_str("  nothing for you just now\n");
    }
    let others: Vec<String> = context
        .template()
        .people
        .people
        .keys()
        .filter(|name| **name != person && !run.next_for(name, context.now).is_empty())
        .cloned()
        .collect();
    if !others.is_empty() {
        writeln!(text, "waiting for: {}", others.join(", ")).expect("strings take everything");
    }
    text
}

pub(super) fn log(context: &Context, ui: &mut Ui) {
    let mut text = String::new();
    let run = context.run();
    let mut events = Vec::new();
    for verified in context.opened.verified.events() {
        let event = verified.event();
        let value = serde_json::to_value(&event.what).expect("plain data");
        let kind = value["type"].as_str().unwrap_or_default().to_owned();
        let step = value["step"].as_str().unwrap_or_default();
        let ignored = run
            .ignored
            .iter()
            .find(|known| known.event == verified.digest());
        let note = ignored.map_or(String::new(), |known| {
            format!(" (ignored: {})", known.refusal)
        });
        writeln!(
            text,
            "{} {} {:<8} {kind} {step}{note}",
            verified.digest().short(),
            event.time,
            event.actor
        )
        .expect("strings take everything");
        events.push(serde_json::json!({ "digest": verified.digest(), "event": event, "ignored": ignored.map(|i| i.refusal.to_string()) }));
    }
    ui.answer(&text, &events);
}

/// The go/no-go sheets.
pub(super) fn sheet(context: &Context, ui: &mut Ui) -> Outcome {
    let run = context.run();
    let decisions = run.steps.values().flat_map(|step| &step.decisions);
    let sheets: Vec<String> = decisions
        .map(|decision| release::sheet::markdown(&context.opened.version, &run, decision))
        .collect();
    if sheets.is_empty() {
        return Err(CommandError::Usage {
            text: "nothing was decided yet".into(),
        });
    }
    ui.answer(&sheets.join("\n"), &sheets);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(context: &Context, ui: &mut Ui) -> Outcome {
    let problems: Vec<String> = context
        .opened
        .verified
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let is_bad = context
        .opened
        .verified
        .problems()
        .iter()
        .any(|p| !p.trouble.is_warning());
    if is_bad {
        return Err(CommandError::NotVerified { problems });
    }
    let heads: Vec<String> = context
        .opened
        .verified
        .heads()
        .iter()
        .map(ToString::to_string)
        .collect();
    let text = format!(
        "{}: {} events, every signature and link holds\n{}{}",
        context.opened.version,
        context.opened.verified.events().len(),
        problems.iter().fold(String::new(), |text, problem| format!(
            "{text}  {problem}\n"
        )),
        heads.iter().fold(String::new(), |text, head| format!(
            "{text}  newest: {head}\n"
        )),
    );
    ui.answer(
        &text,
        &serde_json::json!({ "verified": true, "heads": heads, "warnings": problems }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns the evidence that a review is about, with the steps that it belongs to.
pub(super) fn evidence_to_review(context: &Context, review: &str) -> Vec<(String, Evidence)> {
    let run = context.run();
    let Some(step) = context.template().step(review) else {
        return Vec::new();
    };
    let of = |name: &String| {
        let step = context.template().step(name)?;
        Some(
            run.evidence_of(step)
                .into_iter()
                .cloned()
                .map(|e| (name.clone(), e))
                .collect::<Vec<_>>(),
        )
    };
    step.written
        .reviews
        .iter()
        .filter_map(of)
        .flatten()
        .collect()
}

pub(super) fn to_review(context: &Context, step: &str, ui: &mut Ui) {
    let evidence = evidence_to_review(context, step);
    let mut text = String::new();
    for (step, evidence) in &evidence {
        writeln!(
            text,
            "  {step}: {} ({}, {}) by {}\n    {}",
            evidence.file.name,
            evidence.file.media_type,
            size(evidence.file.size),
            evidence.by,
            context.evidence.path(&evidence.file.sha256).display()
        )
        .expect("strings take everything");
    }
    text.push_str("then: bakelite release review … --approve, or --refuse --note WHY");
    let value: Vec<_> = evidence
        .iter()
        .map(|(step, e)| serde_json::json!({ "step": step, "file": e.file }))
        .collect();
    ui.answer(&text, &value);
}

fn heading(context: &Context, run: &Run<'_>) -> String {
    let candidate = run.candidate().map_or_else(
        || "no candidate yet".to_owned(),
        |candidate| format!("{} {}", candidate.label, candidate.digest.short()),
    );
    let end = match &run.end {
        Some(End::Closed) => ", closed",
        Some(End::Aborted(_)) => ", given up",
        None if run.yanked.is_some() => ", taken back",
        None => "",
    };
    format!("release {}{end}: {candidate}\n", context.opened.version)
}

fn describe(run: &Run<'_>, step: &Step, status: &Status) -> (char, String) {
    let state = &run.steps[&step.name];
    let who = || {
        let proof = state.proof.as_ref();
        proof.map_or(String::new(), |proof| {
            let note = if proof.note.is_empty() {
                String::new()
            } else {
                format!(": {}", proof.note)
            };
            format!(
                "{} {}{note}",
                proof.by,
                proof.time.strftime("%Y-%m-%d %H:%M UTC")
            )
        })
    };
    match status {
        Status::NotApplicable => ('-', "does not apply".into()),
        Status::Blocked { by } => ('.', format!("after {}", by.join(", "))),
        Status::Ready => ('>', format!("ready for {}", step.written.role)),
        Status::Claimed { by } => ('>', format!("{by} is at it")),
        Status::Waiting { until, due } if due.is_empty() => ('…', format!("until {until}")),
        Status::Waiting { until, due } => {
            let due: Vec<String> = due.iter().map(|hour| format!("{hour} h")).collect();
            (
                '>',
                format!("until {until}; a look is due: {}", due.join(", ")),
            )
        }
        Status::Interrupted => (
            '!',
            "an attempt began and never ended: see what it did".into(),
        ),
        Status::Failed { note } => ('!', format!("failed: {note}")),
        Status::Stale { was_for } => {
            let was_waived = state.proof.as_ref().is_some_and(|proof| proof.waived);
            let what = if was_waived { "left out" } else { "done" };
            ('~', format!("stale: it was {what} for {was_for}"))
        }
        Status::Done => ('✓', who()),
        Status::Waived => ('✓', format!("left out by {}", who())),
    }
}

fn problems(context: &Context) -> String {
    let problems = context.opened.verified.problems().iter();
    problems.fold(String::new(), |text, problem| {
        format!("{text}  ! {problem}\n")
    })
}
