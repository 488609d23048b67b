//! A step: what can be done about it, beside its playbook.

use maud::{Markup, html};
use release::run::{Run, Status};
use release::template::{Action, Chore, Kind, Step};

use super::{Place, decision, frame, refused, review, wait, words};
use crate::server::{NO_SERVER, Visit};

pub(crate) fn page(visit: &Visit, step: &Step, why: Option<&str>) -> Markup {
    let run = visit.opened.run();
    let status = run.status(step, visit.office.now());
    let place = Place {
        title: &step.written.title,
        person: Some(&visit.person),
        version: Some(&visit.opened.version),
        at: "",
    };
    let is_wide = matches!(step.written.kind, Kind::Review | Kind::Decision);
    let body = html! {
        p.back { a href={ "/releases/" (visit.opened.version) } { "← Release " (visit.opened.version) } }
        (refused(why))
        @if visit.office.name_in(&visit.opened).is_none() { div.banner role="status" { (NO_SERVER) } }
        div.headline {
            h1 { (step.written.title) }
            p { (words::chip(&status)) " " (words::sentence(&run, step, &status)) }
        }
        p.hint {
            (words::kind(step.written.kind)) ", for " (words::role(&run, &step.written.role))
            ", about " (step.written.minutes) " min"
            @if step.written.effect == release::template::Effect::Irreversible { " · " strong.bad { "cannot be undone" } }
        }
        div class=(if is_wide { "stack" } else { "desk" }) {
            div.work {
                @match step.written.kind {
                    Kind::Review => (review::desk(visit, &run, step, &status)),
                    Kind::Decision => (decision::sheet(visit, &run, step)),
                    Kind::Wait => (wait::watch(visit, &run, step)),
                    _ => {}
                }
                (acts(visit, &run, step, &status))
                (evidence(visit, &run, step))
            }
            @if let Some(playbook) = &step.playbook {
                aside.playbook aria-label="Playbook" { (words::markdown(playbook)) }
            }
        }
    };
    frame(&place, &body)
}

/// A form of this step with one button.
pub(super) fn form(
    visit: &Visit,
    step: &Step,
    act: &str,
    fields: &Markup,
    button: &Markup,
) -> Markup {
    html! {
        form.lines method="post" action={ "/releases/" (visit.opened.version) "/events" } {
            input type="hidden" name="act" value=(act);
            input type="hidden" name="step" value=(step.name);
            (fields)
            (button)
        }
    }
}

fn acts(visit: &Visit, run: &Run<'_>, step: &Step, status: &Status) -> Markup {
    let mine = run.may_work_on(&visit.person, step) && run.end.is_none();
    let is_open = matches!(
        status,
        Status::Ready
            | Status::Stale { .. }
            | Status::Claimed { .. }
            | Status::Failed { .. }
            | Status::Waiting { .. }
    );
    let is_by_hand = matches!(
        step.written.kind,
        Kind::Manual | Kind::Form | Kind::Approval | Kind::Wait
    );
    let nothing = html! {};
    html! {
        @if mine && is_open && has_acts(step, status) {
            section.card {
                h2 { "What you can do" }
                @match status {
                    Status::Claimed { by } if *by == visit.person => {
                        (form(visit, step, "give-back", &nothing, &html! { button.quiet { "Give it back" } }))
                    }
                    Status::Ready | Status::Stale { .. } => {
                        (form(visit, step, "claim", &nothing, &html! { button.primary { "I am at it" } }))
                    }
                    _ => {}
                }
                @if let Status::Stale { was_for } = status {
                    @if !run.steps[&step.name].proof.as_ref().is_some_and(|proof| proof.waived) && matches!(step.written.kind, Kind::Manual | Kind::Form | Kind::Command) {
                        (form(visit, step, "confirm",
                            &html! { label { "Why does what was done for " (was_for) " hold for this candidate?" input name="reason" required; } },
                            &html! { button { "It holds" } }))
                    }
                }
                @if is_by_hand && !matches!(status, Status::Waiting { .. }) {
                    (form(visit, step, "done",
                        &html! { label { "What is worth knowing (may be empty)" input name="note"; } },
                        &html! { button.primary { "It is done" } }))
                }
                @if step.written.kind == Kind::Handoff { (answer(visit, run, step)) }
                @if let Some(action) = &step.written.action { (by_program(step, action)) }
            }
        }
        @if let Status::Failed { note } = status { div.banner.bad { (note) } }
        @if *status == Status::Done
            && let Some(proof) = &run.steps[&step.name].proof
            && !proof.note.is_empty()
        {
            div.banner.good { (proof.note) }
        }
        @if run.template().may_waive(&visit.person) && !status.is_settled() && step.written.kind != Kind::Decision && run.end.is_none() {
            section.card {
                details {
                    summary { "Leave this step out" }
                    (form(visit, step, "waive",
                        &html! { label { "Why? It is recorded under your name." input name="reason" required; } },
                        &html! { button.danger { "Leave out “" (step.written.title) "”" } }))
                }
            }
        }
    }
}

/// A decision, and a watch that is not over, have desks of their own.
fn has_acts(step: &Step, status: &Status) -> bool {
    step.written.kind != Kind::Decision && !matches!(status, Status::Waiting { .. })
}

fn by_program(step: &Step, action: &Action) -> Markup {
    html! {
        @if action.chore() == Chore::Preparation {
            p.hint { "A developer's computer can prepare it: " code { "bakelite release run " (step.name) " --do" } }
        } @else if matches!(action, Action::Candidate {}) {
            p { "On the computer with the build: " code { "bakelite release candidate add out/…/manifest.json" } }
        } @else {
            p { "A program does this step, on a computer that has the keys for it:" }
            pre { code { "bakelite release run " (step.name) "\n" "bakelite release run " (step.name) " --do" } }
            p.hint { "The first shows what would happen, the second does it. This page has no keys to publish anything." }
        }
    }
}

fn answer(visit: &Visit, run: &Run<'_>, step: &Step) -> Markup {
    html! {
        p { "Send the bundle, and ask for the SHA-256 that their own computer shows." }
        @for (image, note) in &run.steps[&step.name].answers {
            p.bad { "They said " code { (image.short()) "…" } ": not the candidate's. " (note) }
        }
        (form(visit, step, "answer",
            &html! {
                label { "SHA-256 that they computed" input name="image" required pattern="[0-9a-fA-F ]{64,}" spellcheck="false" autocomplete="off"; }
                label { "What they wrote" input name="note"; }
            },
            &html! { button.primary { "Enter their answer" } }))
    }
}

fn evidence(visit: &Visit, run: &Run<'_>, step: &Step) -> Markup {
    let found = run.evidence_of(step);
    let may_add = run.has_role(&visit.person, &step.written.role)
        && run.end.is_none()
        && run.candidate().is_some();
    let wants = matches!(step.written.kind, Kind::Manual | Kind::Command | Kind::Form);
    html! {
        @if wants && (may_add || !found.is_empty()) {
            section.card {
                h2 { "Evidence" }
                @if found.len() < step.written.evidence {
                    p { "This step needs " (step.written.evidence) " of it: a film, a log, a record." }
                }
                ul.plain {
                    @for evidence in &found {
                        li {
                            a href={ "/evidence/" (evidence.file.sha256) } { (evidence.file.name) }
                            span.hint {
                                (words::size(evidence.file.size)) ", by " (evidence.by)
                                @if let Some(serial) = &evidence.file.serial { ", device " (serial) }
                            }
                        }
                    }
                }
                @if may_add {
                    form.lines.upload method="post" enctype="multipart/form-data"
                        action={ "/releases/" (visit.opened.version) "/steps/" (step.name) "/evidence" } {
                        label { "Serial number of the device that it shows" input name="serial" autocomplete="off"; }
                        label { "File" input type="file" name="file" required; }
                        input type="hidden" name="seconds";
                        button { "Upload" }
                        progress hidden max="1" value="0" aria-label="Upload" {}
                        output aria-live="polite" {}
                    }
                }
            }
        }
    }
}
