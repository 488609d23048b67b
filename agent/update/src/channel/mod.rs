//! Looks what a channel offers. In: a root, a server, what was seen before, the time. Out: releases that were vouched for, and the
//! one for this device. The network is the server's affair.

mod choose;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use update_trust::{Expired, Files, MOST_FILE, Metadata, Seen, TrustError, Trusted};

pub use choose::{Device, Offer, choose};

/// Folder of the metadata within a channel.
const FOLDER: &str = "metadata";
/// What is looked for first.
const NEWEST: &str = "timestamp.json";

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The bytes, and what the server calls them.
    Bytes(Vec<u8>, Option<String>),
    /// They are the same as last time.
    Same,
    /// There is no such file.
    Missing,
}

/// Where a channel's files are.
pub trait Server: std::fmt::Debug + Send + 'static {
    /// Returns a file of at most `most` bytes, unless the server calls it `etag` still.
    fn get(&mut self, path: &str, most: u64, etag: Option<&str>) -> std::io::Result<Answer>;
}

/// What was read last, so that it need not be fetched while the server says that it is the same.
#[derive(Debug, Clone, Default)]
pub struct Last {
    etag: Option<String>,
    metadata: Metadata,
}

/// A channel could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The server does not answer, or not as it should.
    #[error("the channel cannot be reached")]
    Reach(#[source] std::io::Error),
    /// There is no channel.
    #[error("there is no channel at that address: it has no metadata/timestamp.json")]
    NoChannel,
    /// It is not signed, or it is older than what was seen.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is old: somebody may be holding newer releases back.
    #[error(
        "the channel's {} expired {days} days ago by this device's clock: its makers must renew it, or the clock is wrong", expired.role
    )]
    Expired {
        /// What expired.
        expired: Expired,
        /// How long ago.
        days: i64,
    },
}

/// Looks. `now` is in seconds since 1970; a clock that is too late finds everything expired, one that is too early does no harm.
pub fn look<S: Server>(
    root: &[u8],
    server: &Arc<Mutex<S>>,
    seen: &Seen,
    last: &mut Last,
    now: i64,
) -> Result<Trusted, LookError> {
    let answer = lock(server)
        .get(&path(NEWEST), MOST_FILE, last.etag.as_deref())
        .map_err(LookError::Reach)?;
    let trusted = match answer {
        Answer::Missing => return Err(LookError::NoChannel),
        // Checked again: what was fresh then may be old by now.
        Answer::Same => update_trust::verify(root, &last.metadata, seen, now)?,
        Answer::Bytes(bytes, etag) => {
            let fetched = Arc::new(Mutex::new(Fetched::default()));
            let files = Needed {
                server: Arc::clone(server),
                newest: bytes,
                fetched: Arc::clone(&fetched),
            };
            let result = update_trust::verify_as_needed(root, files, seen, now);
            let mut fetched = lock(&fetched);
            if let Some(error) = fetched.failed.take() {
                return Err(LookError::Reach(error));
            }
            let trusted = result?;
            // Only what was trusted is kept.
            *last = Last {
                etag,
                metadata: std::mem::take(&mut fetched.metadata),
            };
            trusted
        }
    };
    match &trusted.expired {
        Some(expired) => Err(LookError::Expired {
            days: (now - expired.since) / 86_400,
            expired: expired.clone(),
        }),
        None => Ok(trusted),
    }
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Fetched {
    metadata: Metadata,
    failed: Option<std::io::Error>,
}

/// Files as they are asked for: the newest was fetched already.
#[derive(Debug)]
struct Needed<S> {
    server: Arc<Mutex<S>>,
    newest: Vec<u8>,
    fetched: Arc<Mutex<Fetched>>,
}

impl<S: Server> Files for Needed<S> {
    fn get(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        let answer = if name == NEWEST {
            Ok(Answer::Bytes(self.newest.clone(), None))
        } else {
            lock(&self.server).get(&path(name), MOST_FILE, None)
        };
        let mut fetched = lock(&self.fetched);
        match answer {
            Ok(Answer::Bytes(bytes, _)) => {
                let text = String::from_utf8_lossy(&bytes);
                fetched.metadata.insert(name, text);
                Ok(Some(bytes))
            }
            Ok(Answer::Same | Answer::Missing) => Ok(None),
            Err(error) => {
                // Told by itself: what the metadata says about it is of no use to people.
                let copy = std::io::Error::new(error.kind(), error.to_string());
                fetched.failed = Some(error);
                Err(copy)
            }
        }
    }
}

#[cfg(test)]
mod tests;
