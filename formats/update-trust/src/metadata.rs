//! A set of metadata files, by name: what a repository serves, and what a bundle carries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Files of one moment: `1.root.json` and so on, `timestamp.json`, one snapshot, one targets file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata {
    files: BTreeMap<String, String>,
}

/// The bytes are no set of metadata.
#[derive(Debug, thiserror::Error)]
#[error("the trust section cannot be read: {what}")]
pub struct BadMetadata {
    what: String,
}

impl Metadata {
    /// Reads the form that a bundle carries: a JSON object of file names and their texts. Nothing of it is believed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadMetadata> {
        serde_json::from_slice(bytes).map_err(|error| BadMetadata {
            what: error.to_string(),
        })
    }

    /// Writes that form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    /// Adds a file.
    pub fn insert(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.files.insert(name.into(), text.into());
    }

    /// Returns a file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// Returns all files by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }
}
