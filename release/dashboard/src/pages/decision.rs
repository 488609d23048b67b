//! The go/no-go sheet: findings in rows, the questions in columns, the decision below.

use maud::{Markup, html};
use release::journal::{Disposition, Verdict};
use release::run::{Finding, Run};
use release::sheet;
use release::template::Step;

use super::words;
use crate::server::Visit;

const DISPOSITIONS: [(&str, Disposition); 5] = [
    ("known-issue", Disposition::KnownIssue),
    ("fix-now", Disposition::FixNow),
    ("fixed", Disposition::Fixed),
    ("defer", Disposition::Defer),
    ("not-a-bug", Disposition::NotABug),
];

pub(super) fn sheet(visit: &Visit, run: &Run<'_>, step: &Step) -> Markup {
    let questions = &run.template().release.questions;
    let may_decide = run.has_role(&visit.person, &step.written.role) && run.end.is_none();
    html! {
        @for decision in run.steps[&step.name].decisions.iter().rev() {
            @let label = run.candidates.iter().find(|c| c.digest == decision.candidate).map_or("", |c| c.label.as_str());
            div class={ "banner " (if decision.verdict == Verdict::Go { "good" } else { "bad" }) } {
                strong { (if decision.verdict == Verdict::Go { "Go" } else { "No-go" }) } " for " (label) ", "
                (decision.by) ", " (words::moment(decision.time)) ". " (decision.reason)
                @if !decision.unknown.is_empty() { span.hint { " Decided without: " (decision.unknown.join(", ")) } }
            }
        }
        section.card {
            h2 { "Findings" }
            @if run.findings.is_empty() { p { "Nobody found anything." } }
            @else {
                div.wide {
                    table.sheet {
                        thead { tr {
                            th scope="col" { "Finding" }
                            @for question in questions.values() {
                                th scope="col" { (question.text) span.hint { (words::role(run, &question.role)) } }
                            }
                        } }
                        tbody {
                            @for (name, finding) in &run.findings {
                                tr {
                                    th scope="row" { (finding.title) span.hint { (name) ", by " (finding.by) } }
                                    @for (question, asked) in questions {
                                        td { (cell(visit, run, step, name, finding, question, &asked.role)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if may_decide { (decide(visit, run, step)) }
        @else { p.hint { "The decision is for " (words::role(run, &step.written.role)) ": " (run.template().people_with(&step.written.role).join(", ")) "." } }
    }
}

fn cell(
    visit: &Visit,
    run: &Run<'_>,
    step: &Step,
    name: &str,
    finding: &Finding,
    question: &str,
    role: &str,
) -> Markup {
    let input = finding.inputs.get(question);
    html! {
        @match input {
            Some((who, Some(answer))) => p { (answer) span.hint { (who) } },
            Some((who, None)) => p { span.chip.warn { "Unknown" } span.hint { (who) } },
            None => p { span.chip.off { "Not answered" } },
        }
        @if run.has_role(&visit.person, role) && run.end.is_none() {
            details open[input.is_none()] {
                summary { @if input.is_none() { "Answer" } @else { "Change" } }
                form.lines method="post" action={ "/releases/" (visit.opened.version) "/events" } {
                    input type="hidden" name="act" value="input";
                    input type="hidden" name="step" value=(step.name);
                    input type="hidden" name="finding" value=(name);
                    input type="hidden" name="question" value=(question);
                    input name="answer" aria-label={ "Answer about " (name) };
                    div.row {
                        button { "Answer" }
                        button.quiet name="unknown" value="yes" formnovalidate { "Unknown" }
                    }
                }
            }
        }
    }
}

fn decide(visit: &Visit, run: &Run<'_>, step: &Step) -> Markup {
    let missing = run.findings.iter().flat_map(|(name, finding)| {
        let questions = run.template().release.questions.keys();
        questions
            .filter(|question| !matches!(finding.inputs.get(*question), Some((_, Some(_)))))
            .map(move |question| format!("{name}: {question}"))
    });
    let missing: Vec<String> = missing.collect();
    let last = run.steps[&step.name].decisions.last();
    let label = run
        .candidate()
        .map_or("no candidate", |candidate| candidate.label.as_str());
    html! {
        section.card.decide {
            h2 { "Your decision about " (label) }
            @if !missing.is_empty() {
                div.banner role="status" { "Still unknown: " (missing.join(", ")) ". A go without them needs a reason." }
            }
            form.lines method="post" action={ "/releases/" (visit.opened.version) "/events" } {
                input type="hidden" name="step" value=(step.name);
                @for (name, finding) in &run.findings {
                    @let before = last.and_then(|decision| decision.findings.get(name));
                    label { (finding.title)
                        select name={ "finding-" (name) } {
                            option value="" { "nothing decided" }
                            @for (value, disposition) in &DISPOSITIONS {
                                option value=(value) selected[before == Some(disposition)] { (sheet::words(disposition)) }
                            }
                        }
                    }
                }
                label { "Why" textarea name="reason" rows="3" {} }
                div.row {
                    button.primary name="act" value="go" { "Go: publish " (label) }
                    button.danger name="act" value="no-go" { "No-go: another candidate" }
                }
            }
        }
    }
}
