//! A release: what can I do now, what is it waiting for, when will it be out; then every step.

use jiff::Timestamp;
use maud::{Markup, html};
use release::journal::RunKind;
use release::run::{End, Run, Status};

use super::{Place, frame, refused, words};
use crate::server::{NO_SERVER, Visit};

pub(crate) fn page(visit: &Visit, why: Option<&str>) -> Markup {
    let opened = &visit.opened;
    let (run, now) = (opened.run(), visit.office.now());
    let title = format!(
        "{} {}",
        opened.template.release.product.name, opened.version
    );
    let place = Place {
        title: &title,
        person: Some(&visit.person),
        version: Some(&opened.version),
        at: "release",
    };
    let body = html! {
        (refused(why))
        @if visit.office.name_in(opened).is_none() { div.banner role="status" { (NO_SERVER) } }
        @for problem in opened.verified.problems().iter().filter(|problem| !problem.trouble.is_warning()) {
            div.banner.bad role="alert" { strong { "The journal does not verify. " } (problem) }
        }
        div.headline {
            h1 { (title) }
            p { (state(&run)) }
        }
        div.answers {
            section.card.now aria-labelledby="now" { (what_now(visit, &run, now)) }
            section.card aria-labelledby="waits" { (waits_for(visit, &run, now)) }
            section.card aria-labelledby="when" { (when(&run, now)) }
        }
        (steps(visit, &run, now))
        (findings(visit, &run))
        (course(visit, &run))
    };
    frame(&place, &body)
}

fn state(run: &Run<'_>) -> Markup {
    let kind = match run.kind {
        Some(RunKind::Feature) => "Feature release",
        Some(RunKind::Patch) => "Patch release",
        Some(RunKind::Security) => "Security release",
        None => "Not begun",
    };
    html! {
        (kind) " · "
        @match run.candidate() {
            Some(candidate) => {
                (candidate.label) " " code title={ "sha256:" (candidate.digest) } { (candidate.digest.short()) }
                " of " (words::moment(candidate.time))
            }
            None => "no candidate yet",
        }
        @match &run.end {
            Some(End::Closed) => { " · " strong { "closed" } }
            Some(End::Aborted(reason)) => { " · " strong { "given up" } ": " (reason) }
            None => {}
        }
        @if let Some(reason) = &run.yanked { " · " strong.bad { "taken back" } ": " (reason) }
    }
}

fn what_now(visit: &Visit, run: &Run<'_>, now: Timestamp) -> Markup {
    let mine = run.next_for(&visit.person, now);
    html! {
        h2 id="now" { "What you can do now" }
        @if mine.is_empty() {
            p { @if run.end.is_some() { "Nothing: this release is over." } @else { "Nothing just now. Thank you." } }
        }
        ul.plain {
            @for mine in &mine {
                @if let Some(step) = run.template().step(&mine.step) {
                    li.todo {
                        a.go href={ "/releases/" (visit.opened.version) "/steps/" (step.name) } { (step.written.title) }
                        span.hint { (words::sentence(run, step, &mine.status)) " · about " (step.written.minutes) " min" }
                    }
                }
            }
        }
    }
}

fn waits_for(visit: &Visit, run: &Run<'_>, now: Timestamp) -> Markup {
    let people = run
        .template()
        .people
        .people
        .keys()
        .filter(|name| **name != visit.person);
    let waiting: Vec<(&String, Vec<String>)> = people
        .map(|name| (name, run.next_for(name, now)))
        .filter(|(_, mine)| !mine.is_empty())
        .map(|(name, mine)| {
            let title = |step: &str| {
                run.template()
                    .step(step)
                    .map(|step| step.written.title.clone())
            };
            (
                name,
                mine.iter().filter_map(|mine| title(&mine.step)).collect(),
            )
        })
        .collect();
    html! {
        h2 id="waits" { "What the release waits for" }
        @if waiting.is_empty() { p { "For nobody else." } }
        dl.people {
            @for (name, steps) in &waiting {
                dt { (name) }
                dd {
                    (steps.iter().take(3).cloned().collect::<Vec<_>>().join(", "))
                    @if steps.len() > 3 { " and " (steps.len() - 3) " more" }
                }
            }
        }
    }
}

fn when(run: &Run<'_>, now: Timestamp) -> Markup {
    let template = run.template();
    let title = |name: &String| {
        template
            .step(name)
            .map_or(name.clone(), |s| s.written.title.clone())
    };
    html! {
        h2 id="when" { "When it will be out" }
        @if run.end.is_some() || run.yanked.is_some() {
            p { "It is over." }
        } @else {
            @match run.until_published(now) {
                Some(forecast) => {
                    p.big { "in " (words::duration(forecast.takes)) " of work" }
                    p.hint { "if everybody begins at once. Next on the longest way: " (forecast.way.iter().take(3).map(title).collect::<Vec<_>>().join(", then ")) "." }
                }
                None => p.big { "it is out" },
            }
            @if let Some(forecast) = run.until_closed(now) {
                p.hint { "Everything is done in about " (words::duration(forecast.takes)) "." }
            }
        }
    }
}

fn steps(visit: &Visit, run: &Run<'_>, now: Timestamp) -> Markup {
    let done = run
        .template()
        .steps
        .iter()
        .filter(|step| run.status(step, now).is_settled())
        .count();
    let all = run.template().steps.len();
    html! {
        section aria-labelledby="steps" {
            div.headline {
                h2 id="steps" { "Every step" }
                p { label { meter min="0" max=(all) value=(done) {} " " (done) " of " (all) } }
            }
            ol.steps {
                @for step in &run.template().steps {
                    @let status = run.status(step, now);
                    li class=[matches!(status, Status::NotApplicable).then_some("off")] {
                        (words::chip(&status))
                        a href={ "/releases/" (visit.opened.version) "/steps/" (step.name) } { (step.written.title) }
                        span.hint { (words::sentence(run, step, &status)) }
                    }
                }
            }
        }
    }
}

fn findings(visit: &Visit, run: &Run<'_>) -> Markup {
    html! {
        @if !run.findings.is_empty() {
            section aria-labelledby="findings" {
                h2 id="findings" { "Findings" }
                ul.plain {
                    @for (name, finding) in &run.findings {
                        li { strong { (finding.title) } " " span.hint { (name) ", by " (finding.by) } }
                    }
                }
            }
        }
        section.card aria-labelledby="new-finding" {
            details {
                summary id="new-finding" { "Something is wrong, or may be" }
                form.lines method="post" action={ "/releases/" (visit.opened.version) "/events" } {
                    input type="hidden" name="act" value="finding";
                    label { "In one sentence" input name="title" required maxlength="200"; }
                    button { "Note the finding" }
                }
            }
        }
    }
}

fn course(visit: &Visit, run: &Run<'_>) -> Markup {
    let action = format!("/releases/{}/events", visit.opened.version);
    let may_waive = run.template().may_waive(&visit.person);
    html! {
        section.card {
            details {
                summary { "The release as a whole" }
                @for note in &run.retro { p { "Learned: " (note) } }
                form.lines method="post" action=(action) {
                    input type="hidden" name="act" value="retro";
                    label { "What did we learn?" input name="note" required; }
                    button { "Note it" }
                }
                form.lines method="post" action=(action) {
                    input type="hidden" name="act" value="close";
                    p { "When every step is done, the release is closed. Nothing can be added after that." }
                    button { "Close release " (visit.opened.version) }
                }
                @if may_waive && run.end.is_none() {
                    form.lines method="post" action=(action) {
                        @if run.is_past_return() {
                            input type="hidden" name="act" value="yank";
                            label { "Why must " (visit.opened.version) " be taken back?" input name="reason" required; }
                            button.danger { "Take back " (visit.opened.version) }
                        } @else {
                            input type="hidden" name="act" value="abort";
                            label { "Why is " (visit.opened.version) " given up?" input name="reason" required; }
                            button.danger { "Give up release " (visit.opened.version) }
                        }
                    }
                }
            }
        }
    }
}
