//! The audit log: who, when, what. Never what was typed, and never a secret.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A file of this size gives way to a new one; the one before is kept. Bounds the card's space.
const LARGEST: u64 = 1024 * 1024;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The device got its first owner.
    Claimed,
    /// Somebody signed in.
    SignedIn,
    /// Somebody failed to sign in, or guessed a claim code.
    Refused,
    /// Somebody signed out.
    SignedOut,
    /// Somebody ended a session.
    SessionRevoked,
    /// A user was made.
    UserAdded,
    /// A user's role, password or second factor changed.
    UserChanged,
    /// A user was removed.
    UserRemoved,
    /// A token was made.
    TokenAdded,
    /// A token was revoked.
    TokenRevoked,
    /// Text was pasted; its length only.
    Pasted,
    /// Somebody took control of keyboard and mouse.
    TookControl,
    /// An image came into the store.
    ImageAdded,
    /// An image was deleted.
    ImageRemoved,
    /// An image was put into the drive.
    Inserted,
    /// The drive was emptied.
    Ejected,
    /// A power button was pressed, or a machine woken.
    Power,
    /// A setting changed.
    Setting,
    /// The device restarts or switches off.
    Device,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Seconds since 1970, by the device's clock.
    pub time: u64,
    /// Who; nothing before anybody is known.
    pub user: Option<String>,
    /// From where; nothing if the device did it by itself.
    pub address: Option<IpAddr>,
    /// What.
    pub action: Action,
    /// To what: the name of a user, image or setting, or a number of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// The log.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    turn: Mutex<()>,
}

impl AuditLog {
    /// Names the file. It is made when there is something to write.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            turn: Mutex::new(()),
        }
    }

    /// Appends an entry and waits until it is on the disk.
    pub fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let size = fs_err::metadata(&self.path).map_or(0, |facts| facts.len());
        if size > LARGEST {
            fs_err::rename(&self.path, self.path.with_extension("old"))?;
        }
        let mut options = File::options();
        let mut file = options
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    /// Returns the last entries, the newest first. A line that was cut by a power loss is skipped.
    pub fn last(&self, count: usize) -> io::Result<Vec<Entry>> {
        let mut lines = Vec::new();
        for path in [self.path.with_extension("old"), self.path.clone()] {
            match fs_err::read(&path) {
                Ok(bytes) => lines.extend(
                    bytes
                        .split(|byte| *byte == b'\n')
                        .filter_map(|line| serde_json::from_slice(line).ok()),
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lines.into_iter().rev().take(count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: u64) -> Entry {
        Entry {
            time,
            user: Some("ann".into()),
            address: Some("192.0.2.1".parse().unwrap()),
            action: Action::Pasted,
            subject: Some("12".into()),
        }
    }

    #[test]
    fn entries_come_back_newest_first_and_a_cut_line_hurts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(folder.path().join("audit.jsonl"));
        assert!(log.last(10).unwrap().is_empty());
        for time in 1..=3 {
            log.append(&entry(time)).unwrap();
        }
        let mut bytes = fs_err::read(&log.path).unwrap();
        bytes.truncate(bytes.len() - 10);
        fs_err::write(&log.path, bytes).unwrap();
        let times: Vec<u64> = log.last(10).unwrap().iter().map(|e| e.time).collect();
        assert_eq!(times, [2, 1]);
        assert_eq!(log.last(1).unwrap()[0], entry(2));
    }

    #[test]
    fn the_log_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(folder.path().join("audit.jsonl"));
        log.append(&entry(1)).unwrap();
        let large = usize::try_from(LARGEST).unwrap() + 1;
        let mut bytes = fs_err::read(&log.path).unwrap();
        bytes.resize(large, b'\n');
        fs_err::write(&log.path, bytes).unwrap();
        log.append(&entry(2)).unwrap();
        assert!(fs_err::metadata(&log.path).unwrap().len() < 1000);
        assert_eq!(log.last(10).unwrap().len(), 2, "the one before is kept");
    }
}
