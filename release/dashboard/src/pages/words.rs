//! Words and marks that several pages use.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Event, Options, Parser};
use release::run::{Run, Status};
use release::template::{Kind, Step};

/// How a step stands, as a sentence.
pub(super) fn sentence(run: &Run<'_>, step: &Step, status: &Status) -> String {
    let proof = run.steps[&step.name].proof.as_ref();
    let who = || {
        proof.map_or(String::new(), |proof| {
            format!("{}, {}", proof.by, moment(proof.time))
        })
    };
    match status {
        Status::NotApplicable => "Not needed for this candidate".into(),
        Status::Blocked { by } => format!("After: {}", titles(run, by)),
        Status::Ready => format!("Ready for {}", role(run, &step.written.role)),
        Status::Claimed { by } => format!("{by} is at it"),
        Status::Waiting { until, due } if due.is_empty() => format!("Until {}", moment(*until)),
        Status::Waiting { until, .. } => format!("A look is due; until {}", moment(*until)),
        Status::Interrupted => "An attempt began and never ended: run it again".into(),
        Status::Failed { .. } => "The last attempt failed".into(),
        Status::Stale { was_for } => {
            let what = if proof.is_some_and(|proof| proof.waived) {
                "left out"
            } else {
                "done"
            };
            format!("Was {what} for {was_for}; not yet for this candidate")
        }
        Status::Done => who(),
        Status::Waived => format!("Left out by {}", who()),
    }
}

/// One word and its tone, for the chip.
pub(super) fn chip(status: &Status) -> Markup {
    let (word, tone) = match status {
        Status::NotApplicable => ("Not needed", "off"),
        Status::Blocked { .. } => ("Waits", "off"),
        Status::Ready => ("Ready", "live"),
        Status::Claimed { .. } => ("In hand", "live"),
        Status::Waiting { due, .. } if due.is_empty() => ("Running", "live"),
        Status::Waiting { .. } => ("Look now", "bad"),
        Status::Interrupted => ("Interrupted", "bad"),
        Status::Failed { .. } => ("Failed", "bad"),
        Status::Stale { .. } => ("Stale", "warn"),
        Status::Done => ("Done", "good"),
        Status::Waived => ("Left out", "good"),
    };
    html! { span class={ "chip " (tone) } { (word) } }
}

fn titles(run: &Run<'_>, names: &[String]) -> String {
    let title = |name: &String| {
        let step = run.template().step(name);
        step.map_or(name.clone(), |step| step.written.title.clone())
    };
    names.iter().map(title).collect::<Vec<_>>().join(", ")
}

/// A role as people call it.
pub(super) fn role<'r>(run: &'r Run<'_>, name: &'r str) -> &'r str {
    run.template()
        .release
        .roles
        .get(name)
        .map_or(name, |role| role.title.as_str())
}

/// What kind of step it is.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Manual => "by hand",
        Kind::Command => "by a program",
        Kind::Form => "a form",
        Kind::Approval => "an approval",
        Kind::Review => "a review",
        Kind::Decision => "a decision",
        Kind::Wait => "a watch",
        Kind::Handoff => "a hand-over",
    }
}

/// A time, for people.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// How long something takes, for people.
pub(super) fn duration(takes: SignedDuration) -> String {
    let minutes = takes.as_mins();
    match minutes {
        ..1 => "no time".into(),
        1..90 => format!("{minutes} min"),
        90..2880 => format!("{} h", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1440),
    }
}

/// Bytes, for people, in units of 1024.
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MiB", tenths(1 << 20)),
        _ => format!("{} GiB", tenths(1 << 30)),
    }
}

/// A second of a film as `1:23`.
pub(super) fn clock(second: u64) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}

/// A playbook. Raw HTML in it is left out.
pub(super) fn markdown(text: &str) -> Markup {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES)
        .filter(|event| !matches!(event, Event::Html(_) | Event::InlineHtml(_)));
    let mut out = String::new();
    pulldown_cmark::html::push_html(&mut out, events);
    PreEscaped(out)
}
