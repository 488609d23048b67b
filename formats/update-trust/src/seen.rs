//! What a device has seen: versions that must not fall.

use std::collections::BTreeMap;

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::{Held, Said, Trusted};

/// The newest root that was trusted.
const ROOT: &str = "root.json";
/// What was released, as it was trusted last.
const TARGETS: &str = "targets.json";

/// What was seen of one channel, with the newest root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seen {
    files: BTreeMap<String, String>,
}

/// What was seen of all channels. It is written as one file, whole or not at all.
///
/// The root belongs to all of them: a key that was revoked in one signs nothing in another. The rest is counted for each by
/// itself: the fortieth publication of a stable channel says nothing about the third of one for testers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    #[serde(default)]
    root: Option<String>,
    #[serde(default)]
    channels: BTreeMap<String, Seen>,
}

impl Seen {
    pub(crate) const fn new(files: BTreeMap<String, String>) -> Self {
        Self { files }
    }

    /// Returns a file as it was when it was trusted last, such as `timestamp.json`.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.files.iter();
        texts.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Returns the root to begin with: the newest that was ever trusted. Beginning with that of the image, whoever has a key that
    /// was revoked since could show the world as it was before, and counters would begin anew wherever keys were replaced.
    pub(crate) fn newest_root<'r>(&'r self, made_with: &'r [u8]) -> &'r [u8] {
        match self.file(ROOT) {
            Some(last) if version(last.as_bytes()) > version(made_with) => last.as_bytes(),
            _ => made_with,
        }
    }

    /// Returns what was said of a release, by the digest of its manifest.
    fn said_of(&self, id: Sha256Digest) -> Option<Said> {
        let targets: serde_json::Value = serde_json::from_str(self.file(TARGETS)?).ok()?;
        let mut all = targets["signed"]["targets"].as_object()?.values();
        let id = id.to_string();
        let found = all.find(|target| target["hashes"]["sha256"] == *id)?;
        serde_json::from_value(found["custom"].clone()).ok()
    }
}

impl Memory {
    /// Returns what was seen of a channel, by its address.
    pub fn of(&self, channel: &str) -> Seen {
        let mut seen = self.channels.get(channel).cloned().unwrap_or_default();
        seen.files.extend(self.root());
        seen
    }

    /// Returns what holds for a bundle that nobody's channel gave: which keys were revoked. How many publications a channel has
    /// seen since is no fault of a bundle; what must not come back has a rollback index for that.
    pub fn of_none(&self) -> Seen {
        Seen::new(self.root().into_iter().collect())
    }

    fn root(&self) -> Option<(String, String)> {
        Some((ROOT.to_owned(), self.root.clone()?))
    }

    /// Keeps what was seen, of a channel or a bundle. Returns whether it is anything new.
    pub fn keep(&mut self, channel: Option<&str>, trusted: &Trusted) -> bool {
        let before = self.clone();
        let mut seen = trusted.seen.clone();
        let root = seen.files.remove(ROOT);
        let newer = |text: &String| version(text.as_bytes());
        if root.as_ref().map(newer) > self.root.as_ref().map(newer) {
            self.root = root;
        }
        if let Some(channel) = channel {
            self.channels.insert(channel.to_owned(), seen);
        }
        *self != before
    }

    /// Whether a channel has said that nobody shall have a release, and which.
    pub fn held(&self, id: Sha256Digest) -> Option<(&str, Held)> {
        let held = |(channel, seen): (_, &Seen)| Some((channel, seen.said_of(id)?.held));
        let mut all = self.channels.iter().filter_map(held);
        all.find(|(_, held)| *held != Held::No)
            .map(|(channel, held): (&String, _)| (channel.as_str(), held))
    }
}

fn version(root: &[u8]) -> Option<u64> {
    let root: serde_json::Value = serde_json::from_slice(root).ok()?;
    root["signed"]["version"].as_u64()
}
