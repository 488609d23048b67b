//! All packages that the sources of one architecture offer, and which one a name stands for.

use std::collections::{BTreeMap, HashMap};

use crate::package::Package;
use crate::relation::{self, Relation};
use crate::version::DebVersion;

/// The packages of several indexes, one candidate a name: the newest version, as apt chooses when
/// no pins are set.
#[derive(Debug)]
pub struct Universe {
    architecture: String,
    packages: Vec<Package>,
    by_name: HashMap<String, usize>,
    providers: HashMap<String, Vec<Provider>>,
}

#[derive(Debug)]
struct Provider {
    package: usize,
    version: Option<DebVersion>,
}

impl Universe {
    /// Keeps the newest version of each package for `architecture` (or `all`). Where two sources
    /// hold the same version, the one that comes first wins.
    pub fn new(architecture: &str, all: impl IntoIterator<Item = Package>) -> Self {
        let mut newest: BTreeMap<String, Package> = BTreeMap::new();
        for package in all {
            if package.architecture != architecture && package.architecture != "all" {
                continue;
            }
            match newest.get_mut(&package.name) {
                Some(known) if known.version >= package.version => {}
                Some(known) => *known = package,
                None => {
                    newest.insert(package.name.clone(), package);
                }
            }
        }
        let packages: Vec<Package> = newest.into_values().collect();
        let by_name = packages
            .iter()
            .enumerate()
            .map(|(index, p)| (p.name.clone(), index))
            .collect();
        let mut providers: HashMap<String, Vec<Provider>> = HashMap::new();
        for (index, package) in packages
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.provides.is_empty())
        {
            // A malformed Provides offers nothing; the package itself stays usable, as with apt.
            for group in relation::parse(&package.provides).unwrap_or_default() {
                for provided in group.0 {
                    let version = provided.bound.map(|(_, version)| version);
                    providers.entry(provided.name).or_default().push(Provider {
                        package: index,
                        version,
                    });
                }
            }
        }
        Self {
            architecture: architecture.to_owned(),
            packages,
            by_name,
            providers,
        }
    }

    /// Returns the architecture whose packages these are.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns all candidates, by name.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Returns the candidate of that name.
    pub fn find(&self, name: &str) -> Option<&Package> {
        self.by_name.get(name).map(|index| &self.packages[*index])
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn package(&self, index: usize) -> &Package {
        &self.packages[index]
    }

    /// Returns the packages that satisfy `relation`: the package of that name first, then those
    /// that provide it, in apt's order.
    pub(crate) fn satisfying(&self, relation: &Relation) -> Vec<usize> {
        if !self.is_for_this_architecture(relation) {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(index) = self.index_of(&relation.name)
            && relation.allows(&self.packages[index].version)
        {
            found.push(index);
        }
        let mut provided: Vec<usize> = self
            .providers
            .get(&relation.name)
            .into_iter()
            .flatten()
            .filter(|provider| match (&relation.bound, &provider.version) {
                (None, _) => true,
                // A Provides without a version satisfies no bound (Policy 7.5).
                (Some(_), None) => false,
                (Some(_), Some(version)) => relation.allows(version),
            })
            .map(|provider| provider.package)
            .filter(|index| !found.contains(index))
            .collect();
        provided.dedup();
        provided.sort_by_key(|index| {
            let package = &self.packages[*index];
            (!package.essential, priority_rank(&package.priority), *index)
        });
        found.extend(provided);
        found
    }

    fn is_for_this_architecture(&self, relation: &Relation) -> bool {
        match relation.architecture.as_deref() {
            None | Some("any" | "native") => true,
            Some(architecture) => architecture == self.architecture,
        }
    }
}

/// Policy 2.5, most important first.
fn priority_rank(priority: &str) -> u8 {
    match priority {
        "required" => 0,
        "important" => 1,
        "standard" => 2,
        "optional" => 3,
        _ => 4,
    }
}
