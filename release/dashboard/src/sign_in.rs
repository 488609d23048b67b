//! Who is it: links that sign in once, and sessions.
//!
//! ```text
//! release/server/
//!   key                    the server's SSH key
//!   links/<sha256>         a link that was not used yet: {"person": …, "expires": …}
//!   sessions/<sha256>      a browser that is signed in
//! ```
//!
//! Only digests of tokens lie on the disk: who reads the folder cannot sign in.

use std::io;
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A link that nobody used is worth nothing after this.
const LINK_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// A session ends after this: about one release.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Somebody could not be signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The folder cannot be used.
    #[error("cannot keep sign-ins in {folder}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The link is used, too old, or none.
    #[error("this link was used already, or is older than a day: ask for a new one")]
    Link,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    person: String,
    expires: Timestamp,
}

/// Keeps links and sessions.
#[derive(Debug, Clone)]
pub struct Desk {
    folder: PathBuf,
}

impl Desk {
    /// Uses the server's folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Makes a link for a person; `random` must be. Returns its secret part.
    pub fn invite(
        &self,
        person: &str,
        random: &[u8; 32],
        now: Timestamp,
    ) -> Result<String, SignInError> {
        self.issue("links", person, random, now + LINK_LIFE)
    }

    /// Returns whose link it is, without using it up: mail programs open links before people do.
    pub fn look_at(&self, token: &str, now: Timestamp) -> Option<String> {
        self.find("links", token, now)
    }

    /// Uses a link up and begins a session. Returns the person and the session's secret.
    pub(crate) fn sign_in(
        &self,
        token: &str,
        random: &[u8; 32],
        now: Timestamp,
    ) -> Result<(String, String), SignInError> {
        let person = self.find("links", token, now).ok_or(SignInError::Link)?;
        // Of two at once, one removes it.
        fs_err::remove_file(self.path("links", token)).map_err(|_used| SignInError::Link)?;
        let session = self.issue("sessions", &person, random, now + SESSION_LIFE)?;
        Ok((person, session))
    }

    /// Returns who is signed in with a session's secret.
    pub(crate) fn person(&self, token: &str, now: Timestamp) -> Option<String> {
        self.find("sessions", token, now)
    }

    /// Ends a session.
    pub(crate) fn sign_out(&self, token: &str) {
        // It is gone already, then.
        drop(fs_err::remove_file(self.path("sessions", token)));
    }

    fn path(&self, kind: &str, token: &str) -> PathBuf {
        self.folder
            .join(kind)
            .join(Sha256Digest::of(token).to_string())
    }

    fn issue(
        &self,
        kind: &str,
        person: &str,
        random: &[u8; 32],
        expires: Timestamp,
    ) -> Result<String, SignInError> {
        let token = Sha256Digest::of(random).to_string();
        let ticket = Ticket {
            person: person.to_owned(),
            expires,
        };
        let text = serde_json::to_vec(&ticket).expect("plain data");
        let path = self.path(kind, &token);
        let write = || {
            fs_err::create_dir_all(self.folder.join(kind))?;
            let mut file = tempfile::NamedTempFile::new_in(self.folder.join(kind))?;
            io::Write::write_all(&mut file, &text)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| SignInError::Io {
            folder: self.folder.clone(),
            source,
        })?;
        Ok(token)
    }

    fn find(&self, kind: &str, token: &str, now: Timestamp) -> Option<String> {
        let text = fs_err::read(self.path(kind, token)).ok()?;
        let ticket: Ticket = serde_json::from_slice(&text).ok()?;
        (now < ticket.expires).then_some(ticket.person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_signs_in_once_and_not_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::new(folder.path());
        let now: Timestamp = "2026-12-01T10:00:00Z".parse().unwrap();
        let link = desk.invite("sam", &[1; 32], now).unwrap();
        assert_eq!(desk.look_at(&link, now).as_deref(), Some("sam"));
        let (person, session) = desk.sign_in(&link, &[2; 32], now).unwrap();
        assert_eq!(person, "sam");
        assert!(matches!(
            desk.sign_in(&link, &[3; 32], now),
            Err(SignInError::Link)
        ));
        assert_eq!(desk.person(&session, now).as_deref(), Some("sam"));
        assert_eq!(desk.person(&link, now), None, "a link is no session");
        desk.sign_out(&session);
        assert_eq!(desk.person(&session, now), None);
        let late = desk.invite("sam", &[4; 32], now).unwrap();
        let tomorrow = now + SignedDuration::from_hours(25);
        assert!(desk.sign_in(&late, &[5; 32], tomorrow).is_err());
        // Who reads the folder finds no secret in it.
        let names: Vec<String> = fs_err::read_dir(folder.path().join("links"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.iter().all(|name| !name.contains(&late)));
    }
}
