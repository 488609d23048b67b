//! Which packages must be installed so that the wanted ones work.
//!
//! The choices are apt's (`--no-install-recommends`): wanted packages first, then what has no
//! choice, then the first alternative that can be installed, unless another is already in the set.
//! Where a choice turns out to clash, it is forbidden and the search starts again; apt gives up
//! there. A set is only returned if every dependency in it holds and nothing in it conflicts.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::package::Package;
use crate::relation::{self, Alternatives, ParseRelationError};
use crate::universe::Universe;

/// Bounds the search on hostile indexes; real sets need none or a few.
const MOST_RETRIES: usize = 200;

/// Why a package is in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for.
    Wanted,
    /// Another package depends on it.
    Needed {
        /// The package that depends on it.
        by: String,
        /// The dependency, as text.
        relation: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted => f.write_str("asked for"),
            Self::Needed { by, relation } => write!(f, "{by} depends on {relation}"),
        }
    }
}

/// A set of packages that can be installed together.
#[derive(Debug)]
pub struct Solution<'u> {
    /// The packages with the reason for each, by name.
    pub packages: Vec<(&'u Package, Reason)>,
}

/// There is no such set.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A wanted package is in no source.
    #[error("package {name} is in none of the sources{}", similar.as_ref().map(|s| format!(" (is {s} meant?)")).unwrap_or_default())]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The nearest name there is.
        similar: Option<String>,
    },
    /// A dependency cannot be satisfied.
    #[error(
        "{package} needs {relation}, which no source offers{}",
        chain_text(chain)
    )]
    Unsatisfiable {
        /// The package with the dependency.
        package: String,
        /// The dependency.
        relation: String,
        /// From a wanted package to this one.
        chain: Vec<String>,
    },
    /// Two packages exclude each other.
    #[error("{package} conflicts with {other} ({relation}){}; {other} is there because: {}", chain_text(chain), other_chain.join(", "))]
    Conflict {
        /// The package that was to be added.
        package: String,
        /// The package in the way.
        other: String,
        /// The conflict, as text.
        relation: String,
        /// From a wanted package to this one.
        chain: Vec<String>,
        /// From a wanted package to the other one.
        other_chain: Vec<String>,
    },
    /// A relation field does not parse.
    #[error("package {package} has a malformed relation")]
    Relation {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: ParseRelationError,
    },
}

fn chain_text(chain: &[String]) -> String {
    if chain.is_empty() {
        String::new()
    } else {
        format!(" ({})", chain.join(", "))
    }
}

/// Finds the set for `wanted`.
pub fn solve<'u>(universe: &'u Universe, wanted: &[String]) -> Result<Solution<'u>, SolveError> {
    let mut forbidden = HashSet::new();
    let mut first_failure = None;
    for _ in 0..MOST_RETRIES {
        let mut search = Search::new(universe, &forbidden);
        match search.run(wanted) {
            Ok(()) => return Ok(search.into_solution()),
            Err(failure) => {
                // Forbid the newest free choice on the way to the failure and look elsewhere.
                let culprit = failure
                    .choices
                    .iter()
                    .rev()
                    .find(|c| !forbidden.contains(*c))
                    .copied();
                let error = first_failure.get_or_insert(failure.error);
                match culprit {
                    Some(culprit) => forbidden.insert(culprit),
                    None => {
                        return Err(std::mem::replace(
                            error,
                            SolveError::Unknown {
                                name: String::new(),
                                similar: None,
                            },
                        ));
                    }
                };
            }
        }
    }
    Err(first_failure.expect("at least one attempt failed"))
}

struct Failure {
    error: SolveError,
    /// Packages picked among several on the way to both sides of the failure, oldest first.
    choices: Vec<usize>,
}

struct Chosen {
    reason: Reason,
    parent: Option<usize>,
    free_choice: bool,
}

struct Search<'u, 'f> {
    universe: &'u Universe,
    forbidden: &'f HashSet<usize>,
    chosen: HashMap<usize, Chosen>,
    order: Vec<usize>,
    /// Conflicts and Breaks of the chosen packages: name → (package, relation).
    excluded: HashMap<String, Vec<(usize, relation::Relation)>>,
}

impl<'u, 'f> Search<'u, 'f> {
    fn new(universe: &'u Universe, forbidden: &'f HashSet<usize>) -> Self {
        Self {
            universe,
            forbidden,
            chosen: HashMap::new(),
            order: Vec::new(),
            excluded: HashMap::new(),
        }
    }

    fn run(&mut self, wanted: &[String]) -> Result<(), Failure> {
        let mut roots = Vec::new();
        for name in wanted {
            let root = self.root(name)?;
            if !self.chosen.contains_key(&root) {
                self.choose(root, None, Reason::Wanted, false)?;
            }
            roots.push(root);
        }
        for root in roots {
            self.satisfy(root)?;
        }
        Ok(())
    }

    fn root(&self, name: &str) -> Result<usize, Failure> {
        if let Some(index) = self.universe.index_of(name) {
            return Ok(index);
        }
        // A purely virtual package with one provider stands for it, as in apt.
        let virtual_name = relation::parse(name)
            .ok()
            .and_then(|mut groups| groups.pop())
            .and_then(|mut g| g.0.pop());
        if let Some(relation) = virtual_name
            && let [only] = self.universe.satisfying(&relation)[..]
        {
            return Ok(only);
        }
        let names = self.universe.packages().iter().map(|p| p.name.as_str());
        let similar = crate::solver::nearest(name, names).map(str::to_owned);
        Err(Failure {
            error: SolveError::Unknown {
                name: name.to_owned(),
                similar,
            },
            choices: Vec::new(),
        })
    }

    /// Adds one package, unless it clashes with the set.
    fn choose(
        &mut self,
        index: usize,
        parent: Option<usize>,
        reason: Reason,
        free_choice: bool,
    ) -> Result<(), Failure> {
        let package = self.universe.package(index);
        let chosen = Chosen {
            reason,
            parent,
            free_choice,
        };
        if let Some((other, relation)) = self.clash(index)? {
            self.chosen.insert(index, chosen);
            let (chain, mut choices) = self.chain(index);
            let (other_chain, other_choices) = self.chain(other);
            choices.extend(other_choices);
            self.chosen.remove(&index);
            return Err(Failure {
                error: SolveError::Conflict {
                    package: package.name.clone(),
                    other: self.universe.package(other).name.clone(),
                    relation,
                    chain,
                    other_chain,
                },
                choices,
            });
        }
        self.chosen.insert(index, chosen);
        self.order.push(index);
        for field in [&package.conflicts, &package.breaks] {
            for relation in Self::parse(package, field)?
                .into_iter()
                .flat_map(|group| group.0)
            {
                self.excluded
                    .entry(relation.name.clone())
                    .or_default()
                    .push((index, relation));
            }
        }
        Ok(())
    }

    fn clash(&self, index: usize) -> Result<Option<(usize, String)>, Failure> {
        let package = self.universe.package(index);
        // What the chosen ones exclude.
        let mut names = vec![(package.name.clone(), Some(package.version.clone()))];
        for provided in Self::parse(package, &package.provides)?
            .into_iter()
            .flat_map(|group| group.0)
        {
            names.push((provided.name, provided.bound.map(|(_, version)| version)));
        }
        for (name, version) in &names {
            for (other, relation) in self.excluded.get(name).into_iter().flatten() {
                let applies = match (&relation.bound, version) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(_), Some(version)) => relation.allows(version),
                };
                if *other != index && applies {
                    return Ok(Some((
                        *other,
                        format!("{} excludes {relation}", self.universe.package(*other).name),
                    )));
                }
            }
        }
        // What this one excludes.
        for field in [&package.conflicts, &package.breaks] {
            for relation in Self::parse(package, field)?
                .into_iter()
                .flat_map(|group| group.0)
            {
                for other in self.universe.satisfying(&relation) {
                    if other != index && self.chosen.contains_key(&other) {
                        return Ok(Some((
                            other,
                            format!("{} excludes {relation}", package.name),
                        )));
                    }
                }
            }
        }
        Ok(None)
    }

    fn parse(package: &Package, field: &str) -> Result<Vec<Alternatives>, Failure> {
        relation::parse(field).map_err(|source| Failure {
            error: SolveError::Relation {
                package: package.name.clone(),
                source,
            },
            choices: Vec::new(),
        })
    }

    /// Adds what the package needs: first where there is no choice, then where there is.
    fn satisfy(&mut self, index: usize) -> Result<(), Failure> {
        let package = self.universe.package(index);
        let mut groups = Self::parse(package, &package.pre_depends)?;
        groups.extend(Self::parse(package, &package.depends)?);
        let (single, several): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| self.candidates(group).len() == 1);
        for group in single.into_iter().chain(several) {
            self.satisfy_group(index, &group)?;
        }
        Ok(())
    }

    fn candidates(&self, group: &Alternatives) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        for index in group
            .0
            .iter()
            .flat_map(|relation| self.universe.satisfying(relation))
        {
            if !found.contains(&index) {
                found.push(index);
            }
        }
        found
    }

    fn satisfy_group(&mut self, index: usize, group: &Alternatives) -> Result<(), Failure> {
        let all = self.candidates(group);
        if all
            .iter()
            .any(|candidate| self.chosen.contains_key(candidate))
        {
            return Ok(());
        }
        let free_choice = all.len() > 1;
        let mut failure = None;
        for candidate in all
            .into_iter()
            .filter(|candidate| !self.forbidden.contains(candidate))
        {
            let by = self.universe.package(index).name.clone();
            let reason = Reason::Needed {
                by,
                relation: group.to_string(),
            };
            let (mark, excluded) = (self.order.len(), self.excluded.clone());
            let tried = self
                .choose(candidate, Some(index), reason, free_choice)
                .and_then(|()| self.satisfy(candidate));
            match tried {
                Ok(()) => return Ok(()),
                Err(error) => {
                    for undone in self.order.drain(mark..) {
                        self.chosen.remove(&undone);
                    }
                    self.excluded = excluded;
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            let (chain, choices) = self.chain(index);
            Failure {
                error: SolveError::Unsatisfiable {
                    package: self.universe.package(index).name.clone(),
                    relation: group.to_string(),
                    chain,
                },
                choices,
            }
        }))
    }

    /// Returns why a package is in the set, from a wanted one on, and the free choices on the way.
    fn chain(&self, mut index: usize) -> (Vec<String>, Vec<usize>) {
        let (mut chain, mut choices) = (Vec::new(), Vec::new());
        while let Some(chosen) = self.chosen.get(&index) {
            match &chosen.reason {
                Reason::Wanted => chain.push(format!(
                    "{} was asked for",
                    self.universe.package(index).name
                )),
                reason @ Reason::Needed { .. } => chain.push(reason.to_string()),
            }
            if chosen.free_choice {
                choices.push(index);
            }
            match chosen.parent {
                Some(parent) => index = parent,
                None => break,
            }
        }
        chain.reverse();
        choices.reverse();
        (chain, choices)
    }

    fn into_solution(mut self) -> Solution<'u> {
        let mut order = self.order;
        order.sort_unstable();
        let mut take = |index| {
            self.chosen
                .remove(&index)
                .expect("ordered packages are chosen")
                .reason
        };
        Solution {
            packages: order
                .into_iter()
                .map(|i| (self.universe.package(i), take(i)))
                .collect(),
        }
    }
}

/// Returns the name nearest to `wanted`, if one is near enough to be a slip of the keyboard.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.len() / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| name.len().abs_diff(wanted.len()) <= limit)
        .map(|name| (edit_distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
