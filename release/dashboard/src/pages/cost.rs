//! The cost meter.

use maud::{Markup, html};
use release::cost::{Sample, of_journals, per_person, per_step};
use release::template::Template;

use super::{Place, frame, words};
use crate::office::Office;

pub(crate) fn page(office: &Office, person: &str) -> Markup {
    let place = Place {
        title: "Cost",
        person: Some(person),
        version: None,
        at: "cost",
    };
    let root = office.settings.folder.join("journal");
    let body = match (
        Template::load(&office.settings.folder.join("template")),
        of_journals(&root),
    ) {
        (Ok(template), Ok(measured)) => table(&template, &measured),
        (Err(problems), _) => html! { h1 { "Cost" } div.banner.bad { pre { (problems) } } },
        (_, Err(error)) => html! { h1 { "Cost" } div.banner.bad { (error) } },
    };
    frame(&place, &body)
}

fn table(template: &Template, measured: &[Sample]) -> Markup {
    let steps = per_step(template, measured);
    let minutes: u32 = steps.iter().map(|step| step.expected_minutes).sum();
    let longest = steps
        .iter()
        .map(|step| step.expected_minutes)
        .max()
        .unwrap_or(1);
    let budget = template.release.budget.touch_hours;
    let time = |seconds: i64| words::duration(jiff::SignedDuration::from_secs(seconds));
    html! {
        div.headline {
            h1 { "What a release costs" }
            p { (minutes / 60) " h " (minutes % 60) " min of attention expected, of a budget of " (budget) " h; at six releases a year " (minutes / 10) " h a year" }
        }
        div.wide {
            table.cost {
                thead { tr {
                    th scope="col" { "Step" } th scope="col" { "Expected" } th scope="col" { "Attention, median" }
                    th scope="col" { "It lay, median" } th scope="col" { "Who did it" }
                } }
                tbody {
                    @for step in &steps {
                        tr {
                            th scope="row" { (template.step(&step.step).map_or("", |step| step.written.title.as_str())) }
                            td { meter min="0" max=(longest) value=(step.expected_minutes) {} " " (step.expected_minutes) " min" }
                            td { @match step.touch {
                                Some(touch) => { (time(touch.median)) span.hint { (touch.count) "×, " (time(touch.least)) " to " (time(touch.most)) } }
                                None => span.hint { "not measured" },
                            } }
                            td { @if let Some(wait) = step.wait { (time(wait.median)) } }
                            td {
                                @if let Some(only) = &step.only { span.chip.warn { "Only " (only) } " " }
                                (step.people.iter().map(|(name, count)| format!("{name} {count}×")).collect::<Vec<_>>().join(", "))
                            }
                        }
                    }
                }
            }
        }
        section.card {
            h2 { "Attention so far, by person" }
            @let people = per_person(measured);
            @if people.is_empty() { p { "Nothing was measured yet: a step is measured from “I am at it” to “It is done”." } }
            dl.people { @for (name, seconds) in &people { dt { (name) } dd { (time(*seconds)) } } }
            p.hint { "Is automating a step worth it? " code { "bakelite release cost --automate STEP --build-hours 10" } }
        }
    }
}
