//! The watch: how long it still takes, who looked, what they saw.

use maud::{Markup, html};
use release::run::Run;
use release::template::Step;

use super::step::form;
use super::words;
use crate::server::Visit;

pub(super) fn watch(visit: &Visit, run: &Run<'_>, step: &Step) -> Markup {
    let now = visit.office.now();
    let state = &run.steps[&step.name];
    let Some((until, due)) = run.wait(step, now) else {
        return html! { section.card { p { "The watch begins when the release is out." } } };
    };
    let hours = u64::from(step.written.hours + state.more_hours);
    let left = until.duration_since(now);
    let passed = hours.saturating_sub(u64::try_from(left.as_hours().max(0)).unwrap_or(0));
    let reports: u32 = state.check_ins.iter().map(|look| look.reports).sum();
    let mine = run.has_role(&visit.person, &step.written.role) && run.end.is_none();
    html! {
        section.card {
            h2 { "The watch" }
            p.big {
                @if left.is_positive() { (words::duration(left)) " left" } @else { "The time is over" }
            }
            label { progress max=(hours) value=(passed) {} " " (passed) " of " (hours) " h, until " (words::moment(until)) }
            ol.looks {
                @for hour in &step.written.check_ins {
                    @let is_due = due.contains(hour);
                    @let at = until - jiff::SignedDuration::from_hours(i64::try_from(hours).unwrap_or(0) - i64::from(*hour));
                    li {
                        @if is_due { span.chip.bad { "Due" } }
                        @else if at <= now { span.chip.good { "Done" } }
                        @else { span.chip.off { "Later" } }
                        " after " (hour) " h" span.hint { (words::moment(at)) }
                    }
                }
            }
            p { (reports) " reports so far." }
            ul.plain {
                @for look in &state.check_ins {
                    li { strong { (look.by) } ": " (look.reports) " reports. " (look.note) span.hint { " " (words::moment(look.time)) } }
                }
            }
            @if mine {
                (form(visit, step, "check-in",
                    &html! {
                        div.row {
                            label.short { "Reports" input type="number" name="reports" min="0" required inputmode="numeric"; }
                            label { "What they are about" input name="note"; }
                        }
                    },
                    &html! { button.primary { "I looked" } }))
                details {
                    summary { "Watch longer" }
                    (form(visit, step, "extend",
                        &html! {
                            div.row {
                                label.short { "Hours" input type="number" name="hours" min="1" required inputmode="numeric"; }
                                label { "Why" input name="reason" required; }
                            }
                        },
                        &html! { button { "Watch longer" } }))
                }
            }
        }
    }
}
