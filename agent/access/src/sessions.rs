//! Sessions: who is signed in, from where, and until when.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::role::Role;
use crate::secret::{Digest, NoRandom, Secret, random};
use crate::users::UserName;

/// A session ends after so many seconds without a request: half a day, so that a console may stay
/// open for a shift.
pub const IDLE: u64 = 12 * 60 * 60;
/// A session ends so many seconds after signing in, whatever happens: 30 days.
pub const LONGEST: u64 = 30 * 24 * 60 * 60;
/// Most sessions: the one that was idle the longest gives way.
const ROOM: usize = 256;

/// Name of a session. It is no secret: it opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Returns the one of clients that send a user's password each time.
    pub(crate) fn of_user(name: &UserName) -> Self {
        Self(format!("user {name}"))
    }

    /// Makes a new one.
    pub(crate) fn random() -> Result<Self, NoRandom> {
        Ok(Self(hex::encode(random::<8>()?)))
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody who proved who they are. Only this room can make one.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The user.
    pub user: UserName,
    /// What may be done: the user's role, or less for a token.
    pub role: Role,
    /// The session or token.
    pub session: SessionId,
    /// Whether this is a token of a program: it has no cookie, so no page can misuse it.
    pub is_token: bool,
    ended: watch::Receiver<bool>,
}

impl Principal {
    /// Makes one.
    pub(crate) fn new(
        user: UserName,
        role: Role,
        session: SessionId,
        is_token: bool,
        ended: watch::Receiver<bool>,
    ) -> Self {
        Self {
            user,
            role,
            session,
            is_token,
            ended,
        }
    }

    /// Waits until the session is revoked. Streams select on it.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // If the sender is gone, so is the session.
        drop(ended.wait_for(|ended| *ended).await);
    }
}

/// A session as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) secret: Digest,
    pub(crate) user: UserName,
    pub(crate) address: IpAddr,
    pub(crate) agent: String,
    pub(crate) began: u64,
    pub(crate) seen: u64,
    #[serde(skip, default = "open")]
    pub(crate) ended: watch::Sender<bool>,
}

fn open() -> watch::Sender<bool> {
    watch::Sender::new(false)
}

/// A session as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionEntry {
    /// Its name.
    pub id: SessionId,
    /// Who.
    pub user: UserName,
    /// From where.
    pub address: IpAddr,
    /// With what program, as that program says.
    pub agent: String,
    /// Signed in, in seconds since 1970.
    pub began: u64,
    /// Last request, in seconds since 1970.
    pub seen: u64,
}

/// The sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions(pub(crate) Vec<Session>);

impl Sessions {
    /// Begins a session. Returns its cookie's value.
    pub(crate) fn begin(
        &mut self,
        user: UserName,
        address: IpAddr,
        agent: &str,
        now: u64,
    ) -> Result<(Secret, SessionId), NoRandom> {
        let (secret, id) = (Secret::random()?, SessionId::random()?);
        self.expire(now);
        if self.0.len() >= ROOM
            && let Some(oldest) = self.0.iter().min_by_key(|session| session.seen)
        {
            let oldest = oldest.id.clone();
            self.revoke(|session| session.id == oldest);
        }
        self.0.push(Session {
            id: id.clone(),
            secret: secret.digest(),
            user,
            address,
            agent: agent
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect(),
            began: now,
            seen: now,
            ended: open(),
        });
        Ok((secret, id))
    }

    /// Finds the session of a cookie.
    pub(crate) fn find(&mut self, secret: &Secret, now: u64) -> Option<&Session> {
        self.expire(now);
        let digest = secret.digest();
        let session = self.0.iter_mut().find(|session| session.secret == digest)?;
        session.seen = session.seen.max(now);
        Some(session)
    }

    /// Revokes sessions. Returns how many there were.
    pub(crate) fn revoke(&mut self, which: impl Fn(&Session) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|session| {
            let is_over = which(session);
            if is_over {
                session.ended.send_replace(true);
            }
            !is_over
        });
        before - self.0.len()
    }

    fn expire(&mut self, now: u64) {
        self.revoke(|session| {
            now > session.seen.saturating_add(IDLE) || now > session.began.saturating_add(LONGEST)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &mut Sessions, now: u64) -> Secret {
        let (user, address) = ("ann".parse().unwrap(), "192.0.2.1".parse().unwrap());
        sessions.begin(user, address, "test", now).unwrap().0
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_after_thirty_days() {
        let mut sessions = Sessions::default();
        let secret = begin(&mut sessions, 0);
        assert!(sessions.find(&secret, IDLE).is_some());
        assert!(sessions.find(&secret, 2 * IDLE).is_some(), "it was used");
        assert!(sessions.find(&secret, 3 * IDLE + 1).is_none());
        let secret = begin(&mut sessions, 0);
        let mut now = 0;
        while sessions.find(&secret, now).is_some() {
            now += IDLE;
        }
        assert_eq!(now, LONGEST + IDLE);
    }

    #[tokio::test]
    async fn what_streams_for_a_session_hears_that_it_was_revoked() {
        let mut sessions = Sessions::default();
        let secret = begin(&mut sessions, 0);
        let session = sessions.find(&secret, 0).unwrap();
        let principal = Principal::new(
            session.user.clone(),
            Role::Admin,
            session.id.clone(),
            false,
            session.ended.subscribe(),
        );
        assert_eq!(
            sessions.revoke(|session| session.id == principal.session),
            1
        );
        principal.ended().await;
        assert!(sessions.find(&secret, 0).is_none());
    }

    #[test]
    fn there_is_room_for_so_many_and_the_idle_give_way() {
        let mut sessions = Sessions::default();
        let first = begin(&mut sessions, 1);
        let second = begin(&mut sessions, 0);
        for _ in 2..=ROOM {
            begin(&mut sessions, 2);
        }
        assert_eq!(sessions.0.len(), ROOM);
        assert!(sessions.find(&second, 2).is_none());
        assert!(sessions.find(&first, 2).is_some());
    }
}
