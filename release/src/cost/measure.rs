//! Touch time (somebody is at it) and wait time (it could be done and nobody is), from journals.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use crate::journal::{Event, Journal, VerifiedEvent, What};
use crate::opened::{OpenError, Opened};
use crate::run::{Run, Status};
use crate::template::Template;

/// One time that a step was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Version.
    pub run: String,
    /// Step.
    pub step: String,
    /// Who did it.
    pub person: String,
    /// Seconds of attention: from claim, or from the start of an attempt, to done. None if nobody said when
    /// they began.
    pub touch: Option<i64>,
    /// Seconds that it could be done before somebody began.
    pub wait: i64,
}

/// Measures every release below a journal's root.
pub fn of_journals(root: &Path) -> Result<Vec<Sample>, OpenError> {
    let mut measured = Vec::new();
    for version in Journal::runs(root)? {
        let opened = Opened::open(root, &version)?;
        let events = opened.verified.events().iter().map(VerifiedEvent::event);
        measured.extend(samples(&version, &opened.template, events));
    }
    Ok(measured)
}

/// Measures one release.
pub fn samples<'e>(
    version: &str,
    template: &Template,
    events: impl IntoIterator<Item = &'e Event>,
) -> Vec<Sample> {
    let mut run = Run::replay(template, []);
    let mut ready: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut begun: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut found = Vec::new();
    for event in events {
        let before = settled(&run, event.time);
        if run.apply(event).is_err() {
            continue;
        }
        match &event.what {
            What::StepClaimed { step } | What::AttemptStarted { step, .. } => {
                begun.entry(step.clone()).or_insert(event.time);
            }
            What::StepReleased { step } => drop(begun.remove(step)),
            _ => {}
        }
        for step in &template.steps {
            let status = run.status(step, event.time);
            let name = &step.name;
            if status == Status::Done && !before.contains(&name.as_str()) {
                let start = begun.remove(name);
                let since = ready.remove(name).unwrap_or(event.time);
                let began = start.unwrap_or(event.time).max(since);
                found.push(Sample {
                    run: version.to_owned(),
                    step: name.clone(),
                    person: event.actor.clone(),
                    touch: start.map(|start| seconds(start, event.time)),
                    wait: seconds(since, began),
                });
            }
            match status {
                Status::Ready | Status::Stale { .. } | Status::Failed { .. } => {
                    ready.entry(name.clone()).or_insert(event.time);
                }
                Status::Done | Status::Waived | Status::NotApplicable | Status::Blocked { .. } => {
                    ready.remove(name);
                }
                Status::Claimed { .. } | Status::Waiting { .. } | Status::Interrupted => {}
            }
        }
    }
    found
}

fn settled<'t>(run: &Run<'t>, now: Timestamp) -> Vec<&'t str> {
    let done = |step: &&'t crate::template::Step| run.status(step, now) == Status::Done;
    let steps = run.template().steps.iter().filter(done);
    steps.map(|step| step.name.as_str()).collect()
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    // Two clocks may disagree; nothing takes less than no time.
    to.duration_since(from).as_secs().max(0)
}

/// Least, middle and most, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Spread {
    /// Least.
    pub least: i64,
    /// Median: of an even number the upper of the two in the middle.
    pub median: i64,
    /// Most.
    pub most: i64,
    /// How often it was measured.
    pub count: usize,
}

impl Spread {
    fn of(mut values: Vec<i64>) -> Option<Self> {
        values.sort_unstable();
        Some(Self {
            least: *values.first()?,
            median: values[values.len() / 2],
            most: *values.last()?,
            count: values.len(),
        })
    }
}

/// What one step costs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepCost {
    /// The step.
    pub step: String,
    /// Attention, where it was measured.
    pub touch: Option<Spread>,
    /// How long it lay.
    pub wait: Option<Spread>,
    /// How often who did it.
    pub people: BTreeMap<String, usize>,
    /// The only one who has its role.
    pub only: Option<String>,
    /// Minutes that the template expects.
    pub expected_minutes: u32,
}

/// Returns what each step of a template costs.
pub fn per_step(template: &Template, samples: &[Sample]) -> Vec<StepCost> {
    let cost = |step: &crate::template::Step| {
        let of_step = samples.iter().filter(|sample| sample.step == step.name);
        let mut people = BTreeMap::new();
        for sample in of_step.clone() {
            *people.entry(sample.person.clone()).or_insert(0) += 1;
        }
        let able = template.people_with(&step.written.role);
        StepCost {
            step: step.name.clone(),
            touch: Spread::of(of_step.clone().filter_map(|sample| sample.touch).collect()),
            wait: Spread::of(of_step.map(|sample| sample.wait).collect()),
            people,
            only: match able.as_slice() {
                [only] => Some((*only).to_owned()),
                _ => None,
            },
            expected_minutes: step.written.minutes,
        }
    };
    template.steps.iter().map(cost).collect()
}

/// Returns the seconds of attention that each person gave, over all samples.
pub fn per_person(samples: &[Sample]) -> BTreeMap<String, i64> {
    let mut people = BTreeMap::new();
    for sample in samples {
        *people.entry(sample.person.clone()).or_insert(0) += sample.touch.unwrap_or(0);
    }
    people
}
