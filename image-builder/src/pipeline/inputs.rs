//! What goes into a step, each part by its name: equal parts mean an equal result, and the names tell
//! a person why something is built again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use content_digest::{DigestBuilder, Sha256Digest};

use super::Keys;
use crate::Host;
use crate::recipe::Recipe;
use crate::store::write_atomically;

/// Names shown of those that changed.
const SHOWN: usize = 4;

/// The named parts of one step.
#[derive(Debug, Clone)]
pub struct Inputs {
    parts: Vec<(String, Sha256Digest)>,
}

impl Inputs {
    /// Begins with the step's name and the number of its form: another form makes other results.
    pub fn new(step: &str) -> Self {
        Self {
            parts: vec![("this program".into(), Sha256Digest::of(step))],
        }
    }

    /// Adds a part.
    pub fn add(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.parts.push((name.into(), Sha256Digest::of(bytes)));
    }

    /// Returns the digest of all parts, in order.
    pub fn key(&self) -> Sha256Digest {
        let mut digest = DigestBuilder::new();
        for (name, part) in &self.parts {
            digest.part(name).part(part.as_bytes());
        }
        digest.finish()
    }

    fn known(&self) -> BTreeMap<String, Sha256Digest> {
        self.parts.iter().cloned().collect()
    }
}

/// The parts of every step of the last build of a recipe.
#[derive(Debug, Default)]
pub(super) struct LastInputs(BTreeMap<String, BTreeMap<String, Sha256Digest>>);

impl LastInputs {
    pub(super) fn read(host: &Host, recipe: &Recipe) -> Self {
        let text = fs_err::read(path(host, recipe)).unwrap_or_default();
        Self(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Notes what the build that just ended was made of.
    pub(super) fn write(host: &Host, recipe: &Recipe, keys: &Keys) -> std::io::Result<()> {
        let steps: BTreeMap<&str, BTreeMap<String, Sha256Digest>> = keys
            .steps()
            .map(|(step, inputs)| (step, inputs.known()))
            .collect();
        let path = path(host, recipe);
        fs_err::create_dir_all(host.cache_folder("inputs"))?;
        write_atomically(&path, &serde_json::to_vec(&steps).expect("plain data"))
    }

    /// Says what changed since.
    pub(super) fn changes(&self, step: &str, inputs: &Inputs) -> String {
        let Some(last) = self.0.get(step) else {
            return "not built before".into();
        };
        let now = inputs.known();
        let mut names: Vec<String> = Vec::new();
        for (name, part) in &now {
            match last.get(name) {
                None => names.push(format!("{name} is new")),
                Some(known) if known != part => names.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let gone = last.keys().filter(|name| !now.contains_key(*name));
        names.extend(gone.map(|name| format!("{name} is gone")));
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        match (names.is_empty(), more) {
            (true, _) => "its result is no longer there".into(),
            (false, 0) => names.join(", "),
            (false, more) => format!("{} and {more} more", names.join(", ")),
        }
    }
}

fn path(host: &Host, recipe: &Recipe) -> PathBuf {
    let place = DigestBuilder::new()
        .part(recipe.project.as_os_str().as_encoded_bytes())
        .part(&recipe.name)
        .finish();
    host.cache_folder("inputs")
        .join(place.short())
        .with_extension("json")
}
