//! Events that were verified, in the one order that everybody gets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use content_digest::{DigestBuilder, Sha256Digest};
use jiff::Timestamp;
use ulid::Ulid;

use super::{AllowedSigners, Event, SCHEMA, SignatureError, SignedEvent, What, unseen};

/// Clocks may differ by this much before it is worth a word.
const CLOCK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// An event whose signature and place in the journal hold. Only verification makes one.
#[derive(Debug, Clone)]
pub struct VerifiedEvent {
    event: Event,
    digest: Sha256Digest,
}

impl VerifiedEvent {
    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns its digest: how later events name it.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

/// What is wrong with a file of the journal.
#[derive(Debug)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub trouble: Trouble,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.trouble)
    }
}

/// Kinds of problems.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Not JSON of this form.
    #[error("line {}, column {}: this is no event: {_0}", _0.line(), _0.column())]
    Malformed(serde_json::Error),
    /// Written by a newer program.
    #[error("the event has schema {found}; this program reads schema {SCHEMA}")]
    Schema {
        /// Schema found.
        found: u64,
    },
    /// The file has another event's name.
    #[error("the event in it belongs into {expected}: it was renamed or copied")]
    Name {
        /// The right name.
        expected: String,
    },
    /// It belongs to another run.
    #[error("the event is of release {found}, not {expected}: it was copied")]
    Run {
        /// Run of the event.
        found: String,
        /// Run of the journal.
        expected: String,
    },
    /// The signature does not hold.
    #[error("{}", chain(_0))]
    Signature(SignatureError),
    /// An event that it names is not there.
    #[error("it comes after event {missing}, which is not there: deleted, changed or not fetched")]
    Missing {
        /// Digest of the missing event.
        missing: Sha256Digest,
    },
    /// An event that it comes after was refused.
    #[error("it comes after event {refused}, which was refused")]
    AfterRefused {
        /// Digest of the refused event.
        refused: Sha256Digest,
    },
    /// It is earlier than what it comes after. A warning: the event counts.
    #[error(
        "its time is {behind} before the event that it comes after: the clock of {actor} is off"
    )]
    Clock {
        /// Whose clock.
        actor: String,
        /// By how much.
        behind: String,
    },
}

impl Trouble {
    /// Returns whether the event counts all the same.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Clock { .. })
    }
}

fn chain(error: &SignatureError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A verified journal: its events in order, and what was wrong with others.
#[derive(Debug, Default)]
pub struct Verified {
    events: Vec<VerifiedEvent>,
    problems: Vec<Problem>,
}

/// Returns the canonical form of an event (RFC 8785): what is signed and hashed.
pub(super) fn canonical(event: &Event) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(event).expect("an event is plain data")
}

/// Returns the digest of an event.
pub fn digest(event: &Event) -> Sha256Digest {
    Sha256Digest::of(canonical(event))
}

impl Verified {
    /// Verifies files by name and contents.
    pub fn of(files: Vec<(PathBuf, Vec<u8>)>, signers: &AllowedSigners) -> Self {
        let mut verified = Self::default();
        let mut found: BTreeMap<Sha256Digest, (PathBuf, Event)> = BTreeMap::new();
        let mut refused = BTreeSet::new();
        let mut run: Option<String> = None;
        for (file, text) in files {
            match read(&file, &text, signers) {
                Ok((event, digest)) => {
                    let expected = run.get_or_insert_with(|| event.run.clone());
                    if event.run == *expected {
                        found.insert(digest, (file, event));
                    } else {
                        let trouble = Trouble::Run {
                            found: event.run,
                            expected: expected.clone(),
                        };
                        refused.insert(digest);
                        verified.problems.push(Problem { file, trouble });
                    }
                }
                Err((digest, trouble)) => {
                    refused.extend(digest);
                    verified.problems.push(Problem { file, trouble });
                }
            }
        }
        verified.put_in_order(found, &mut refused);
        verified.problems.sort_by(|a, b| a.file.cmp(&b.file));
        verified
    }

    /// Orders events so that each comes after those that it names; what that leaves open is decided by
    /// their ids.
    fn put_in_order(
        &mut self,
        mut found: BTreeMap<Sha256Digest, (PathBuf, Event)>,
        refused: &mut BTreeSet<Sha256Digest>,
    ) {
        let mut waiting: HashMap<Sha256Digest, usize> = HashMap::new();
        let mut followers: HashMap<Sha256Digest, Vec<Sha256Digest>> = HashMap::new();
        let mut ready: BTreeSet<(String, Sha256Digest)> = BTreeSet::new();
        for (digest, (_, event)) in &found {
            waiting.insert(*digest, event.after.len());
            for earlier in &event.after {
                followers.entry(*earlier).or_default().push(*digest);
            }
            if event.after.is_empty() {
                ready.insert((event.id.clone(), *digest));
            }
        }
        let mut times: HashMap<Sha256Digest, Timestamp> = HashMap::new();
        while let Some((_, digest)) = ready.pop_first() {
            let (file, event) = found.remove(&digest).expect("ready once");
            let latest = event.after.iter().filter_map(|d| times.get(d)).max();
            if let Some(latest) = latest {
                let behind = latest.duration_since(event.time);
                if behind > CLOCK_TOLERANCE {
                    let trouble = Trouble::Clock {
                        actor: event.actor.clone(),
                        behind: format!("{behind:#}"),
                    };
                    self.problems.push(Problem { file, trouble });
                }
            }
            times.insert(digest, event.time);
            for follower in followers.remove(&digest).unwrap_or_default() {
                let count = waiting.get_mut(&follower).expect("counted above");
                *count -= 1;
                if *count == 0 {
                    let id = found[&follower].1.id.clone();
                    ready.insert((id, follower));
                }
            }
            self.events.push(VerifiedEvent { event, digest });
        }
        // What is left waits for something that is not there, or for something that waits.
        let left: BTreeSet<Sha256Digest> = found.keys().copied().collect();
        for (file, event) in found.into_values() {
            let known = |digest: &Sha256Digest| times.contains_key(digest);
            let lost = event
                .after
                .iter()
                .find(|d| !known(d) && !left.contains(*d) && !refused.contains(*d));
            let trouble = match lost {
                Some(missing) => Trouble::Missing { missing: *missing },
                None => Trouble::AfterRefused {
                    refused: *event
                        .after
                        .iter()
                        .find(|d| !known(d))
                        .expect("it waits for something"),
                },
            };
            self.problems.push(Problem { file, trouble });
        }
    }

    /// Returns the events in order.
    pub fn events(&self) -> &[VerifiedEvent] {
        &self.events
    }

    /// Returns what is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the digests of the newest events: those that no other comes after.
    pub fn heads(&self) -> Vec<Sha256Digest> {
        let named: BTreeSet<Sha256Digest> = self
            .events
            .iter()
            .flat_map(|event| event.event.after.iter().copied())
            .collect();
        unseen(self.events.iter().map(|event| &event.digest), &named)
    }

    /// Returns an id that is later than every known one, whatever the clock says.
    pub(super) fn next_id(&self, time: Timestamp, actor: &str, what: &What) -> String {
        let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
        // In place of chance: who did what after what. Equal ids would be the same event.
        let mut random = DigestBuilder::new();
        random.part(actor);
        random.part(serde_json_canonicalizer::to_vec(what).expect("plain data"));
        for head in self.heads() {
            random.part(head.as_bytes());
        }
        let random = random.finish();
        let random = u128::from_be_bytes(random.as_bytes()[..16].try_into().expect("16 bytes"));
        let fresh = Ulid::from_parts(milliseconds, random);
        let last = self
            .events
            .iter()
            .filter_map(|event| Ulid::from_string(&event.event.id).ok())
            .max();
        match last {
            Some(last) if last >= fresh => last.increment().unwrap_or(fresh).to_string(),
            _ => fresh.to_string(),
        }
    }
}

fn read(
    file: &Path,
    text: &[u8],
    signers: &AllowedSigners,
) -> Result<(Event, Sha256Digest), (Option<Sha256Digest>, Trouble)> {
    let signed: SignedEvent =
        serde_json::from_slice(text).map_err(|error| (None, Trouble::Malformed(error)))?;
    let bytes = serde_json_canonicalizer::to_vec(&signed.event)
        .map_err(|error| (None, Trouble::Malformed(error)))?;
    let digest = Sha256Digest::of(&bytes);
    let refuse = |trouble| (Some(digest), trouble);
    let schema = signed.event["schema"].as_u64().unwrap_or(0);
    if schema != u64::from(SCHEMA) {
        return Err(refuse(Trouble::Schema { found: schema }));
    }
    let event: Event =
        serde_json::from_value(signed.event).map_err(|error| refuse(Trouble::Malformed(error)))?;
    let expected = format!("{}-{}.json", event.id, event.actor);
    if file.file_name().unwrap_or_default() != expected.as_str() {
        return Err(refuse(Trouble::Name { expected }));
    }
    let signer = signers.signer_of(&event.actor, event.via.as_deref());
    let signer = signer.map_err(|error| refuse(Trouble::Signature(error)))?;
    signers
        .verify(signer, super::NAMESPACE, &bytes, &signed.signature)
        .map_err(|error| refuse(Trouble::Signature(error)))?;
    Ok((event, digest))
}
