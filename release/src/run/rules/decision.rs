//! Findings, what is known of them, and the decision.

use std::collections::BTreeMap;

use super::{Refusal, needs_reason};
use crate::journal::{Disposition, Event, Verdict, What};
use crate::run::{Decision, Finding, Run};
use crate::template::{Kind, Step};

impl Run<'_> {
    pub(super) fn decide(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::FindingAdded { finding, title, at } => {
                if self.findings.contains_key(finding) || finding.is_empty() {
                    return Err(Refusal::Finding {
                        finding: finding.clone(),
                        why: "another finding has this name",
                    });
                }
                let new = Finding {
                    title: title.clone(),
                    by: event.actor.clone(),
                    at: at.clone(),
                    inputs: BTreeMap::new(),
                };
                self.findings.insert(finding.clone(), new);
            }
            What::InputGiven {
                finding,
                question,
                answer,
            } => {
                let unknown = |why| Refusal::Finding {
                    finding: finding.clone(),
                    why,
                };
                let asked = self.template.release.questions.get(question);
                let asked = asked.ok_or_else(|| unknown("the template has no such question"))?;
                self.needs_role(&event.actor, &asked.role)?;
                let known = self.findings.get_mut(finding);
                let known = known.ok_or_else(|| unknown("there is no such finding"))?;
                let input = (event.actor.clone(), answer.clone());
                known.inputs.insert(question.clone(), input);
            }
            What::DecisionMade { step, .. } => {
                let step = self.find_step(step, &[Kind::Decision])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.make_decision(event, &step)?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn make_decision(&mut self, event: &Event, step: &Step) -> Result<(), Refusal> {
        let What::DecisionMade {
            candidate,
            verdict,
            findings,
            reason,
            ..
        } = &event.what
        else {
            return Ok(());
        };
        self.is_current(Some(*candidate))?;
        let unknown: Vec<String> = self
            .findings
            .iter()
            .flat_map(|(name, finding)| {
                let questions = self.template.release.questions.keys();
                questions
                    .filter(|question| !matches!(finding.inputs.get(*question), Some((_, Some(_)))))
                    .map(move |question| format!("{name}/{question}"))
            })
            .collect();
        if *verdict == Verdict::Go {
            self.is_ready(step)?;
            for finding in self.findings.keys() {
                let why = match findings.get(finding) {
                    None => "nothing was decided about it",
                    Some(Disposition::FixNow) => "it is to be fixed, so this candidate cannot go",
                    Some(_) => continue,
                };
                return Err(Refusal::Finding {
                    finding: finding.clone(),
                    why,
                });
            }
            if !unknown.is_empty() {
                needs_reason(reason)?;
            }
        } else {
            // A no may come at any time before something was published.
            if self.is_past_return() {
                return Err(Refusal::PastReturn);
            }
            needs_reason(reason)?;
        }
        self.state(step).decisions.push(Decision {
            candidate: *candidate,
            by: event.actor.clone(),
            time: event.time,
            verdict: *verdict,
            findings: findings.clone(),
            unknown,
            reason: reason.clone(),
        });
        if *verdict == Verdict::Go {
            self.settle(step, event, reason, false);
        } else {
            self.state(step).proof = None;
        }
        Ok(())
    }
}
