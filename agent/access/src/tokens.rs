//! Tokens for programs: each with a role of its own and an end.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::role::Role;
use crate::secret::{Digest, NoRandom, Secret};
use crate::sessions::SessionId;
use crate::users::UserName;

/// Most tokens.
pub const ROOM: usize = 64;
/// How a token begins, so that people and scanners of secrets recognise one.
pub const PREFIX: &str = "bakelite_";
/// Longest life in seconds: one year.
pub const LONGEST: u64 = 366 * 24 * 60 * 60;

/// A token as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) id: SessionId,
    pub(crate) secret: Digest,
    pub(crate) name: String,
    pub(crate) user: UserName,
    pub(crate) role: Role,
    pub(crate) made: u64,
    pub(crate) expires: u64,
    #[serde(skip, default = "open")]
    pub(crate) ended: watch::Sender<bool>,
}

fn open() -> watch::Sender<bool> {
    watch::Sender::new(false)
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenEntry {
    /// Its name in lists and in the audit log.
    pub id: SessionId,
    /// What it is for.
    pub name: String,
    /// Who made it.
    pub user: UserName,
    /// What it may do, at most what its user may.
    pub role: Role,
    /// Made, in seconds since 1970.
    pub made: u64,
    /// Ends, in seconds since 1970.
    pub expires: u64,
}

impl Token {
    /// Makes a token. The secret is shown once and not kept.
    pub(crate) fn new(
        name: &str,
        user: UserName,
        role: Role,
        now: u64,
        life: u64,
    ) -> Result<(Self, Secret), NoRandom> {
        let secret = Secret::new(format!("{PREFIX}{}", Secret::random()?.reveal()));
        let token = Self {
            id: SessionId::random()?,
            secret: secret.digest(),
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
            user,
            role,
            made: now,
            expires: now.saturating_add(life.min(LONGEST)),
            ended: open(),
        };
        Ok((token, secret))
    }

    pub(crate) fn entry(&self) -> TokenEntry {
        TokenEntry {
            id: self.id.clone(),
            name: self.name.clone(),
            user: self.user.clone(),
            role: self.role,
            made: self.made,
            expires: self.expires,
        }
    }
}
