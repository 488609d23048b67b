//! What releases cost: whose attention, how long others waited, and whether automating a step pays.

mod measure;
mod payback;

pub use measure::{Sample, Spread, StepCost, of_journals, per_person, per_step, samples};
pub use payback::{Automation, Payback, Verdict};

#[cfg(test)]
mod tests;
