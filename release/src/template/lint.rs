//! What a template should be beyond being readable: affordable, explained, and not in one person's
//! hands alone.

use std::fmt;

use super::{Effect, Kind, Step, Template};

/// Something to change in a template, or to think about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step; none for the whole template.
    pub step: Option<String>,
    /// What is the matter.
    pub text: String,
    /// Whether it is only worth a thought.
    pub is_warning: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_warning { "warning" } else { "error" };
        match &self.step {
            Some(step) => write!(f, "{kind}: step {step}: {}", self.text),
            None => write!(f, "{kind}: {}", self.text),
        }
    }
}

/// Looks at a whole template.
pub fn lint(template: &Template) -> Vec<Finding> {
    let mut findings = Vec::new();
    budget(template, &mut findings);
    for role in template.release.roles.keys() {
        let people = template.people_with(role);
        if people.len() < 2 {
            let who = people.first().map_or("nobody", |name| name);
            findings.push(error(
                None,
                format!("role {role} is in the hands of {who} alone: name a second person"),
            ));
        }
    }
    let product = &template.release.product;
    if product.publisher == "Example" || product.website.contains("example.com") {
        findings.push(Finding {
            step: None,
            text: "[product] in release.toml is still the example: announcements and advisories will say so"
                .into(),
            is_warning: true,
        });
    }
    for step in &template.steps {
        lint_step(template, step, &mut findings);
    }
    findings
}

fn error(step: Option<&Step>, text: String) -> Finding {
    Finding {
        step: step.map(|step| step.name.clone()),
        text,
        is_warning: false,
    }
}

fn budget(template: &Template, findings: &mut Vec<Finding>) {
    let (budget, steps) = (template.release.budget, &template.steps);
    let minutes: u32 = steps.iter().map(|step| step.written.minutes).sum();
    let cannot_be_undone = |step: &&Step| step.written.effect == Effect::Irreversible;
    let irreversible = steps.iter().filter(cannot_be_undone).count();
    let mut over = |what: &str, found: String, allowed: String| {
        findings.push(error(
            None,
            format!("{found} {what}, but the budget is {allowed}: take one out before one goes in"),
        ));
    };
    if steps.len() > budget.steps {
        over("steps", steps.len().to_string(), budget.steps.to_string());
    }
    if minutes > budget.touch_hours * 60 {
        over(
            "of attention",
            format!("{} h {:02} min", minutes / 60, minutes % 60),
            format!("{} h", budget.touch_hours),
        );
    }
    if irreversible > budget.irreversible {
        over(
            "irreversible steps",
            irreversible.to_string(),
            budget.irreversible.to_string(),
        );
    }
}

fn lint_step(template: &Template, step: &Step, findings: &mut Vec<Finding>) {
    let written = &step.written;
    let mut add = |is_warning, text: String| {
        findings.push(Finding {
            step: Some(step.name.clone()),
            text,
            is_warning,
        });
    };
    for (key, value) in [
        ("why", &written.why),
        ("owner", &written.owner),
        ("added", &written.added),
    ] {
        if value.trim().is_empty() {
            add(
                false,
                format!("“{key}” is missing: a step needs a reason to stay"),
            );
        }
    }
    let owner = written.owner.trim();
    if !owner.is_empty() && !template.release.roles.contains_key(owner) {
        add(false, format!("its owner “{owner}” is no role"));
    }
    if written.kind != Kind::Command && step.playbook.as_ref().is_none_or(|p| p.trim().is_empty()) {
        add(
            false,
            format!(
                "steps/{}.md is missing: somebody will do this for the first time",
                step.name
            ),
        );
    }
    if written.kind == Kind::Command && written.action.is_none() {
        add(false, "a command needs an “action”".into());
    }
    let has_probe = written
        .action
        .as_ref()
        .is_some_and(super::Action::has_probe);
    if written.effect == Effect::Irreversible && !has_probe {
        add(
            false,
            "it cannot be undone and nothing can tell whether it was done: give it an “action” with a probe"
                .into(),
        );
    }
    if let Some(action) = &written.action
        && (written.kind == Kind::Command) != (action.chore() == super::Chore::Whole)
    {
        add(
            false,
            "a command needs an action that does it all; other kinds, one that drafts".into(),
        );
    }
    if written.kind == Kind::Review {
        if written.reviews.is_empty() {
            add(
                false,
                "a review needs “reviews”: the steps whose evidence is looked at".into(),
            );
        }
        for name in &written.reviews {
            let performer = template.step(name).map(|step| &step.written.role);
            let reviewers = reviewers(step);
            if performer.is_some_and(|role| reviewers.iter().all(|reviewer| *reviewer == role)) {
                add(
                    true,
                    format!(
                        "{name} is done by the role that reviews it: the reviewer is not the performer, so it takes two people of that role"
                    ),
                );
            }
        }
    }
    if written.kind == Kind::Wait && written.hours == 0 {
        add(false, "a wait needs “hours”".into());
    }
    if let Some(late) = written.check_ins.iter().find(|hour| **hour > written.hours) {
        add(
            false,
            format!(
                "the check-in at {late} h is after the wait of {} h",
                written.hours
            ),
        );
    }
    if written.kind != Kind::Command
        && written.last_caught.is_none()
        && written.effect == Effect::None
    {
        add(
            true,
            "it has not caught anything yet: sample it, or drop it?".into(),
        );
    }
}

/// Returns the roles that must approve in a review.
pub(crate) fn reviewers(step: &Step) -> Vec<&String> {
    if step.written.reviewers.is_empty() {
        vec![&step.written.role]
    } else {
        step.written.reviewers.iter().collect()
    }
}
