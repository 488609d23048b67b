//! An order in which steps can be done.

use std::collections::BTreeSet;

use super::Step;

/// Sorts steps so that each comes after those that it waits for; what that leaves open stays by name.
/// Fails with the names of steps that wait for each other, the first one again at the end.
pub(super) fn in_order(mut steps: Vec<Step>) -> Result<Vec<Step>, Vec<String>> {
    let mut done: BTreeSet<String> = BTreeSet::new();
    let all: BTreeSet<String> = steps.iter().map(|step| step.name.clone()).collect();
    let mut sorted = Vec::new();
    while !steps.is_empty() {
        // A step that is not there holds nothing up: it is told as a problem of its own.
        let is_ready = |step: &Step| {
            let mut after = step.written.after.iter();
            after.all(|name| done.contains(name) || !all.contains(name))
        };
        let Some(index) = steps.iter().position(is_ready) else {
            return Err(circle(&steps));
        };
        let step = steps.remove(index);
        done.insert(step.name.clone());
        sorted.push(step);
    }
    Ok(sorted)
}

/// Follows the steps that are left from one to another until one comes again.
fn circle(left: &[Step]) -> Vec<String> {
    let mut path: Vec<String> = vec![left[0].name.clone()];
    loop {
        let last = path.last().expect("never empty");
        let step = left.iter().find(|step| step.name == *last);
        let next = step
            .and_then(|step| {
                let mut after = step.written.after.iter();
                after.find(|name| left.iter().any(|step| step.name == **name))
            })
            .expect("a step that is left waits for another one that is left");
        if let Some(start) = path.iter().position(|name| name == next) {
            path.push(next.clone());
            return path.split_off(start);
        }
        path.push(next.clone());
    }
}
