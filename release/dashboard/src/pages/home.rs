//! All releases.

use maud::{Markup, html};
use release::run::End;

use super::{Place, frame, words};
use crate::office::Office;

pub(crate) fn page(office: &Office, person: &str) -> Markup {
    let place = Place {
        title: "Releases",
        person: Some(person),
        version: None,
        at: "home",
    };
    let mut versions = office.versions();
    versions.reverse();
    let body = html! {
        h1 { "Releases" }
        @if versions.is_empty() {
            section.card {
                p { "No release was begun yet." }
                p.hint { "A developer begins one: " code { "bakelite release start VERSION --kind feature" } }
            }
        }
        ul.plain.releases {
            @for version in &versions {
                li.card { (one(office, person, version)) }
            }
        }
    };
    frame(&place, &body)
}

fn one(office: &Office, person: &str, version: &str) -> Markup {
    let opened = match office.open(version) {
        Ok(opened) => opened,
        Err(error) => return html! { h2 { (version) } p.bad { (error) } },
    };
    let run = opened.run();
    let now = office.now();
    let state = match &run.end {
        Some(End::Closed) if run.yanked.is_some() => "Taken back, closed".to_owned(),
        Some(End::Closed) => "Closed".to_owned(),
        Some(End::Aborted(why)) => format!("Given up: {why}"),
        None if run.yanked.is_some() => "Taken back".to_owned(),
        None => match run.until_published(now) {
            Some(forecast) => format!(
                "{} of work until it is out",
                words::duration(forecast.takes)
            ),
            None => "Out; steps are open".to_owned(),
        },
    };
    let mine = run.next_for(person, now).len();
    html! {
        h2 { a href={ "/releases/" (version) } { (opened.template.release.product.name) " " (version) } }
        p {
            @if let Some(candidate) = run.candidate() { (candidate.label) " " code { (candidate.digest.short()) } " · " }
            (state)
        }
        @if mine == 1 { p { strong { "One step waits for you." } } }
        @else if mine > 1 { p { strong { (mine) " steps wait for you." } } }
    }
}
