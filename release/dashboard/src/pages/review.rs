//! The review desk: films with what was noted in them.

use maud::{Markup, html};
use release::run::{Evidence, Run, Status};
use release::template::Step;

use super::step::form;
use super::words;
use crate::acts::to_review;
use crate::server::Visit;

pub(super) fn desk(visit: &Visit, run: &Run<'_>, step: &Step, status: &Status) -> Markup {
    let all = to_review(run, step);
    let mine = run.may_review(&visit.person, step) && run.end.is_none();
    let can_judge = mine
        && matches!(
            status,
            Status::Ready | Status::Stale { .. } | Status::Claimed { .. }
        );
    let owners = run.owners(step);
    let now = run.candidate().map(|candidate| candidate.digest);
    let given = run.steps[&step.name]
        .reviews
        .iter()
        .filter(|review| Some(review.candidate) == now);
    html! {
        @if owners.contains(&visit.person) {
            div.banner role="status" { "You own behaviour that changed in this release: the review needs your word." }
        } @else if !owners.is_empty() {
            p.hint { "Developers of changed behaviour who must approve: " (owners.join(", ")) }
        }
        @for review in given {
            p { strong { (review.by) } " "
                @if review.approves { span.chip.good { "Approved" } } @else { span.chip.bad { "Refused" } }
                " " (review.note) span.hint { " " (words::moment(review.time)) } }
        }
        @if all.is_empty() { section.card { p { "There is nothing to look at yet." } } }
        @for (name, evidence) in &all { (piece(visit, run, step, name, evidence)) }
        @if can_judge && !all.is_empty() { (judge(visit, step, &all)) }
    }
}

fn piece(visit: &Visit, run: &Run<'_>, step: &Step, of: &str, evidence: &Evidence) -> Markup {
    let (file, sha256) = (&evidence.file, evidence.file.sha256);
    let address = format!("/evidence/{sha256}");
    let mut notes: Vec<_> = run
        .findings
        .iter()
        .filter_map(|(name, finding)| Some((finding.at.as_ref()?, name, finding)))
        .filter(|(place, _, _)| place.evidence == sha256)
        .collect();
    notes.sort_by_key(|(place, _, _)| place.second);
    let title = run
        .template()
        .step(of)
        .map_or(of, |step| step.written.title.as_str());
    let is_film = file.media_type.starts_with("video/");
    html! {
        section.card.film id={ "film-" (sha256.short()) } {
            div.headline {
                h2 { (title) }
                p.hint {
                    (file.name) ", " (words::size(file.size)) ", by " (evidence.by)
                    @if let Some(serial) = &file.serial { ", device " (serial) }
                }
            }
            @if !visit.office.is_whole(&sha256) {
                p.bad { "The file is not on this computer yet, or is not what was recorded." }
            } @else if is_film {
                video controls preload="metadata" src=(address) {}
            } @else if file.media_type.starts_with("image/") {
                img src=(address) alt={ "Evidence: " (file.name) };
            } @else {
                p { a href=(address) { "Open " (file.name) } }
            }
            @if !notes.is_empty() {
                ol.notes {
                    @for (place, _, finding) in &notes {
                        li {
                            a.time href={ (address) "#t=" (place.second) } data-second=(place.second) { (words::clock(place.second)) }
                            (finding.title) span.hint { " " (finding.by) }
                        }
                    }
                }
            }
            @if run.end.is_none() {
                (form(visit, step, "finding",
                    &html! {
                        input type="hidden" name="evidence" value=(sha256);
                        div.row {
                            @if is_film { label.short { "At" input name="at" value="0:00" pattern="[0-9:]+" data-now="" autocomplete="off"; } }
                            label { "What is to be seen there" input name="title" required maxlength="200"; }
                        }
                    },
                    &html! { button { "Note it" } }))
            }
        }
    }
}

fn judge(visit: &Visit, step: &Step, all: &[(&str, &Evidence)]) -> Markup {
    html! {
        section.card {
            h2 { "Your word" }
            form.lines method="post" action={ "/releases/" (visit.opened.version) "/events" } {
                input type="hidden" name="step" value=(step.name);
                fieldset {
                    legend { "I looked at" }
                    @for (_, evidence) in all {
                        label.tick { input type="checkbox" name={ "seen-" (evidence.file.sha256) }; (evidence.file.name) }
                    }
                }
                label { "What you saw" input name="note"; }
                div.row {
                    button.primary name="act" value="approve" { "Approve" }
                    button name="act" value="refuse" { "Refuse" }
                }
            }
        }
    }
}
