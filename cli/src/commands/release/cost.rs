//! `bakelite release cost`

use std::fmt::Write as _;
use std::process::ExitCode;

use release::cost::{Automation, Spread, StepCost, of_journals, per_person, per_step};
use release::template::Template;

use super::Outcome;
use super::context::journal_root;
use crate::arguments::release::{CostArguments, ReleaseArguments};
use crate::command_error::CommandError;
use crate::ui::Ui;

pub(super) fn run(arguments: &ReleaseArguments, cost: &CostArguments, ui: &mut Ui) -> Outcome {
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    let measured = of_journals(&journal_root(arguments)).map_err(CommandError::Open)?;
    let steps = per_step(&template, &measured);
    let mut text = table(&steps);
    for (person, seconds) in per_person(&measured) {
        writeln!(
            text,
            "  {person:<22} {} of attention so far",
            duration(seconds)
        )
        .expect("strings take everything");
    }
    let minutes: u32 = steps.iter().map(|step| step.expected_minutes).sum();
    let yearly = f64::from(minutes) / 60.0 * cost.a_year;
    writeln!(
        text,
        "the checklist expects {} h {:02} min a release, {yearly:.0} h a year at {} releases",
        minutes / 60,
        minutes % 60,
        cost.a_year
    )
    .expect("strings take everything");
    let payback = match &cost.automate {
        Some(step) => Some(payback(cost, step, &steps)?),
        None => None,
    };
    if let Some((words, _)) = &payback {
        text.push_str(words);
    }
    ui.answer(
        &text,
        &serde_json::json!({ "steps": steps, "hours-a-year": yearly, "payback": payback.map(|(_, payback)| payback) }),
    );
    Ok(ExitCode::SUCCESS)
}

fn table(steps: &[StepCost]) -> String {
    let mut text = format!(
        "  {:<22} {:>9} {:>21} {:>11}\n",
        "step", "expected", "attention (median)", "it lay"
    );
    for step in steps {
        let touch = step.touch.map_or("not measured".into(), |spread| {
            format!("{} ({} times)", duration(spread.median), spread.count)
        });
        let wait = step
            .wait
            .map_or(String::new(), |spread: Spread| duration(spread.median));
        let only = step.only.as_ref();
        let only = only.map_or(String::new(), |only| format!("  only {only} can do it"));
        writeln!(
            text,
            "  {:<22} {:>5} min {touch:>21} {wait:>11}{only}",
            step.step, step.expected_minutes
        )
        .expect("strings take everything");
    }
    text
}

/// Seconds as people say them.
fn duration(seconds: i64) -> String {
    let minutes = (seconds + 30) / 60;
    match minutes {
        ..100 => format!("{minutes} min"),
        100..2880 => format!("{}.{} h", minutes / 60, minutes % 60 / 6),
        _ => format!("{} days", minutes / 1440),
    }
}

fn payback(
    cost: &CostArguments,
    name: &str,
    steps: &[StepCost],
) -> Result<(String, release::cost::Payback), CommandError> {
    let step = steps.iter().find(|step| step.step == name);
    let step = step.ok_or_else(|| CommandError::Usage {
        text: format!("there is no step “{name}”"),
    })?;
    // Three measurements say more than the expectation.
    let (now, source) = match step.touch {
        Some(spread) if spread.count >= 3 => (
            jiff::SignedDuration::from_secs(spread.median).as_secs_f64() / 60.0,
            "measured",
        ),
        _ => (
            f64::from(step.expected_minutes),
            "expected; fewer than 3 were measured",
        ),
    };
    let payback = Automation {
        releases: cost.a_year,
        minutes_now: now,
        minutes_then: cost.minutes_then,
        errors: cost.errors,
        hours_an_error: cost.hours_an_error,
        upkeep: cost.upkeep,
        build: cost.build_hours,
    }
    .payback();
    let years = payback.years.map_or("never".to_owned(), |years| {
        if years < 1.0 {
            format!("after {:.0} months", (years * 12.0).ceil())
        } else {
            format!("after {years:.1} years")
        }
    });
    let verdict = match payback.verdict {
        release::cost::Verdict::WorthIt => "worth it",
        release::cost::Verdict::Maybe => "maybe",
        release::cost::Verdict::Dont => "not worth it",
    };
    let releases = payback.break_even_releases;
    let releases = releases.map_or("no number of".to_owned(), |count| {
        format!("{:.0}", count.ceil())
    });
    let text = format!(
        "automating {name} ({now:.0} min now, {source}): saves {:.1} h a year, paid back {years}: {verdict}\n  \
         it pays within a year from {releases} releases a year, or if it is built in {:.1} h\n",
        payback.hours_a_year, payback.break_even_build
    );
    Ok((text, payback))
}
