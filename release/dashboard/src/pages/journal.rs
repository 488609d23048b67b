//! Every event, the newest first.

use maud::{Markup, html};

use super::{Place, frame, words};
use crate::server::Visit;

pub(crate) fn page(visit: &Visit) -> Markup {
    let opened = &visit.opened;
    let run = opened.run();
    let place = Place {
        title: "Journal",
        person: Some(&visit.person),
        version: Some(&opened.version),
        at: "journal",
    };
    let events = opened.verified.events();
    let body = html! {
        div.headline {
            h1 { "Journal of " (opened.version) }
            p { (events.len()) " events, every signature and link checked" }
        }
        @for problem in opened.verified.problems() {
            div.banner.bad role="alert" { (problem) }
        }
        div.wide {
            table.journal {
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Event" } } }
                tbody {
                    @for verified in events.iter().rev() {
                        @let event = verified.event();
                        @let ignored = run.ignored.iter().find(|ignored| ignored.event == verified.digest());
                        tr class=[ignored.map(|_| "off")] {
                            td { time datetime=(event.time) { (words::moment(event.time)) } }
                            td { (event.actor) @if let Some(via) = &event.via { span.hint { "by " (via) } } }
                            td {
                                (what(&event.what))
                                @if let Some(ignored) = ignored { span.hint.bad { "does not count: " (ignored.refusal) } }
                            }
                            td { code title={ "sha256:" (verified.digest()) } { (verified.digest().short()) } }
                        }
                    }
                }
            }
        }
    };
    frame(&place, &body)
}

/// An event in words: its type, and every fact that it carries.
fn what(what: &release::journal::What) -> Markup {
    let value = serde_json::to_value(what).expect("plain data");
    let fields = value.as_object().cloned().unwrap_or_default();
    let kind = fields
        .get("type")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .replace('-', " ");
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.len() == 64 && !text.contains(' ') => {
            format!("{}…", &text[..12])
        }
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_empty = |value: &serde_json::Value| {
        value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty)
    };
    html! {
        strong { (kind) }
        @for (name, value) in &fields {
            @if name != "type" && !is_empty(value) { " " span.fact { span.hint { (name) } " " (text(value)) } }
        }
    }
}
