//! Every event, the newest first.

use maud::{Markup, html};
use serde_json::Value;

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
                            td.by { (event.actor) @if let Some(via) = &event.via { span.hint { "by " (via) } } }
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

/// An event in words: its type, the step or finding, then every other fact that it carries.
fn what(what: &release::journal::What) -> Markup {
    let value = serde_json::to_value(what).expect("plain data");
    let mut fields = value.as_object().cloned().unwrap_or_default();
    let kind = fields.remove("type").unwrap_or_default();
    let kind = kind.as_str().unwrap_or_default().replace('-', " ");
    let subject = ["step", "finding"].map(|name| fields.remove(name));
    fields.retain(|_, value| !fact(value).is_empty());
    html! {
        strong { (kind) }
        @for subject in subject.iter().flatten() { " " (fact(subject)) }
        @for (name, value) in &fields { " " span.fact { span.hint { (name) } " " (fact(value)) } }
    }
}

/// A fact as people read it; digests by their beginning, as everywhere.
fn fact(value: &Value) -> String {
    let is_digest =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::String(text) if is_digest(text) => format!("{}…", &text[..16]),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(fact).collect::<Vec<_>>().join(", "),
        // A file is known by its name, a place by its second, a map by its pairs.
        Value::Object(object) => match (object.get("name"), object.get("second")) {
            (Some(name), _) => fact(name),
            (_, Some(second)) => words::clock(second.as_u64().unwrap_or(0)),
            _ => {
                let pairs = object
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", fact(value)));
                pairs.collect::<Vec<_>>().join(", ")
            }
        },
        Value::Number(number) => number.to_string(),
    }
}
