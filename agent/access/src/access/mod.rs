//! The room's front door. Longer than most: every operation here takes the same lock and keeps the same
//! files, and side by side one sees that none forgets to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_device::claim::{ClaimCode, ClaimError};

use tokio::sync::watch;

use crate::back_off::{BackOff, Subject};
use crate::one_time::SecondFactor;
use crate::password::{KeptPassword, PasswordError};
use crate::role::Role;
use crate::secret::{NoRandom, Secret};
use crate::sessions::{Principal, Session, SessionEntry, SessionId, Sessions};
use crate::tokens::{self, Token, TokenEntry};
use crate::users::{self, BadUserName, FileError, User, UserName};

/// Something that is not allowed or not possible.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Name, password or code is wrong. Which one is not told.
    #[error("name, password or code is wrong")]
    Wrong,
    /// Too many attempts.
    #[error("too many attempts: wait {} s", wait.as_secs() + 1)]
    Wait {
        /// How long.
        wait: Duration,
    },
    /// Somebody owns the device already.
    #[error("this device has an owner already")]
    Claimed,
    /// There is such a user already.
    #[error("there is a user {name} already")]
    Exists {
        /// The name.
        name: UserName,
    },
    /// There is no such user, session or token.
    #[error("there is no such {what}")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// The last administrator would be gone.
    #[error("{name} is the last administrator: make another one first")]
    LastAdmin {
        /// The name.
        name: UserName,
    },
    /// There are too many of them.
    #[error("there is no room for more than {room}")]
    Full {
        /// How many there may be.
        room: usize,
    },
    /// The name cannot be used.
    #[error(transparent)]
    Name(#[from] BadUserName),
    /// The user has a second factor already.
    #[error("{name} has a second factor already: take it away first, which asks for the password")]
    HasFactor {
        /// The name.
        name: UserName,
    },
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The claim code cannot be used up.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// There are no random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// What somebody signs in with, and from where.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name, as given.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// The one-time code, if given.
    pub code: Option<String>,
    /// From where.
    pub address: IpAddr,
    /// With what program.
    pub agent: String,
}

/// A session that has begun.
#[derive(Debug)]
pub struct SignedIn {
    /// The cookie's value.
    pub cookie: Secret,
    /// Who.
    pub principal: Principal,
}

/// A user as listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UserEntry {
    /// Name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// Whether a second factor is asked for.
    pub second_factor: bool,
}

#[derive(Debug, Default)]
struct State {
    users: Vec<User>,
    sessions: Sessions,
    tokens: Vec<Token>,
    back_off: BackOff,
    /// Ends what streams for clients that send their password each time.
    clients: BTreeMap<UserName, watch::Sender<bool>>,
}

/// Users, sessions and tokens.
#[derive(Debug)]
pub struct Access {
    folder: PathBuf,
    state: Mutex<State>,
    /// Hashing takes memory and time: one at a time.
    hashing: tokio::sync::Mutex<()>,
}

impl Access {
    /// Loads what the folder has.
    pub fn load(folder: &Path) -> Result<Self, FileError> {
        let state = State {
            users: users::read(&folder.join("users.json"))?,
            sessions: Sessions(users::read(&folder.join("sessions.json"))?),
            tokens: users::read(&folder.join("tokens.json"))?,
            back_off: BackOff::default(),
            clients: BTreeMap::new(),
        };
        Ok(Self {
            folder: folder.into(),
            state: Mutex::new(state),
            hashing: tokio::sync::Mutex::new(()),
        })
    }

    /// Whether somebody owns the device.
    pub fn is_claimed(&self) -> bool {
        !self.lock().users.is_empty()
    }

    /// Makes the first user, an administrator, for whoever knows the claim code.
    pub async fn claim(
        &self,
        code: &ClaimCode,
        given: &str,
        credentials: &Credentials,
        now: u64,
    ) -> Result<SignedIn, AccessError> {
        let subject = Subject::address(credentials.address);
        {
            let mut state = self.lock();
            if !state.users.is_empty() {
                return Err(AccessError::Claimed);
            }
            let instant = Instant::now();
            if let Some(wait) = state.back_off.wait(&subject, instant) {
                return Err(AccessError::Wait { wait });
            }
            if !code.is(given) {
                state.back_off.failed(subject, instant);
                return Err(AccessError::Wrong);
            }
        }
        let name: UserName = credentials.name.parse().map_err(AccessError::Name)?;
        let password = self.keep(credentials.password.clone()).await?;
        {
            let mut state = self.lock();
            if !state.users.is_empty() {
                return Err(AccessError::Claimed);
            }
            state.users.push(User {
                name: name.clone(),
                role: Role::Admin,
                password,
                second_factor: None,
            });
            self.save_users(&state)?;
        }
        code.use_up(&self.folder)?;
        self.begin(name, credentials, now)
    }

    /// Signs in.
    pub async fn sign_in(
        &self,
        credentials: &Credentials,
        now: u64,
    ) -> Result<SignedIn, AccessError> {
        let name = self.prove(credentials, now).await?;
        self.begin(name, credentials, now)
    }

    /// Proves name, password and code without beginning a session, for clients that send them each
    /// time.
    pub async fn prove(
        &self,
        credentials: &Credentials,
        now: u64,
    ) -> Result<UserName, AccessError> {
        let subjects = [
            Subject::account(&credentials.name),
            Subject::address(credentials.address),
        ];
        // One at a time, the waiting included: parallel guesses count one after the other.
        let turn = self.hashing.lock().await;
        let kept = {
            let state = self.lock();
            let instant = Instant::now();
            let waits = subjects
                .iter()
                .filter_map(|s| state.back_off.wait(s, instant));
            if let Some(wait) = waits.max() {
                return Err(AccessError::Wait { wait });
            }
            state
                .user(&credentials.name)
                .map(|user| user.password.clone())
        };
        let password = credentials.password.clone();
        let is_right = tokio::task::spawn_blocking(move || {
            let Some(kept) = kept else {
                KeptPassword::compare_with_nobody(&password);
                return false;
            };
            kept.is(&password)
        })
        .await
        .unwrap_or(false);
        let mut state = self.lock();
        let proven = state.check(credentials, is_right, now);
        drop(turn);
        let Some(name) = proven else {
            for subject in subjects {
                state.back_off.failed(subject, Instant::now());
            }
            return Err(AccessError::Wrong);
        };
        for subject in &subjects {
            state.back_off.succeeded(subject);
        }
        self.save_users(&state)?;
        Ok(name)
    }

    /// Proves name, password and code, and returns who that is without a session. What streams for it
    /// ends when the user's role or password changes.
    pub async fn principal_of(
        &self,
        credentials: &Credentials,
        now: u64,
    ) -> Result<Principal, AccessError> {
        let name = self.prove(credentials, now).await?;
        let mut state = self.lock();
        let role = state.user_mut(&name)?.role;
        let id = SessionId::of_user(&name);
        let ended = state.clients.entry(name.clone()).or_default().subscribe();
        Ok(Principal::new(name, role, id, true, ended))
    }

    /// Returns who a cookie belongs to.
    pub fn by_cookie(&self, cookie: &Secret, now: u64) -> Option<Principal> {
        let mut state = self.lock();
        let (user, id, ended) = {
            let session = state.sessions.find(cookie, now)?;
            (
                session.user.clone(),
                session.id.clone(),
                session.ended.subscribe(),
            )
        };
        let role = state.users.iter().find(|u| u.name == user)?.role;
        Some(Principal::new(user, role, id, false, ended))
    }

    /// Returns who a token belongs to.
    pub fn by_token(&self, token: &Secret, now: u64) -> Option<Principal> {
        let state = self.lock();
        let digest = token.digest();
        let token = state.tokens.iter().find(|token| token.secret == digest)?;
        if now >= token.expires {
            return None;
        }
        let user = state.users.iter().find(|user| user.name == token.user)?;
        Some(Principal::new(
            token.user.clone(),
            token.role.min(user.role),
            token.id.clone(),
            true,
            token.ended.subscribe(),
        ))
    }

    /// Returns the sessions.
    pub fn sessions(&self) -> Vec<SessionEntry> {
        let entry = |session: &Session| SessionEntry {
            id: session.id.clone(),
            user: session.user.clone(),
            address: session.address,
            agent: session.agent.clone(),
            began: session.began,
            seen: session.seen,
        };
        self.lock().sessions.0.iter().map(entry).collect()
    }

    /// Ends a session and all that streams for it.
    pub fn revoke_session(&self, id: &SessionId) -> Result<(), AccessError> {
        let mut state = self.lock();
        match state.sessions.revoke(|session| session.id == *id) {
            0 => Err(AccessError::Missing { what: "session" }),
            _ => self.save_sessions(&state),
        }
    }

    /// Returns the users.
    pub fn users(&self) -> Vec<UserEntry> {
        let entry = |user: &User| UserEntry {
            name: user.name.clone(),
            role: user.role,
            second_factor: user.second_factor.is_some(),
        };
        self.lock().users.iter().map(entry).collect()
    }

    /// Adds a user.
    pub async fn add_user(
        &self,
        name: UserName,
        role: Role,
        password: Secret,
    ) -> Result<(), AccessError> {
        let password = self.keep(password).await?;
        let mut state = self.lock();
        if state.users.iter().any(|user| user.name == name) {
            return Err(AccessError::Exists { name });
        }
        if state.users.len() >= users::ROOM {
            return Err(AccessError::Full { room: users::ROOM });
        }
        state.users.push(User {
            name,
            role,
            password,
            second_factor: None,
        });
        self.save_users(&state)
    }

    /// Changes a user's role. The user's sessions and tokens end: what streams has the old role.
    pub fn set_role(&self, name: &UserName, role: Role) -> Result<(), AccessError> {
        let mut state = self.lock();
        if role != Role::Admin {
            state.refuse_last_admin(name)?;
        }
        state.user_mut(name)?.role = role;
        state.end_all_of(name, None);
        self.save_users(&state)?;
        self.save_sessions(&state)
    }

    /// Changes a user's password. The user's other sessions end.
    pub async fn set_password(
        &self,
        name: &UserName,
        password: Secret,
        keep: Option<&SessionId>,
    ) -> Result<(), AccessError> {
        let password = self.keep(password).await?;
        let mut state = self.lock();
        state.user_mut(name)?.password = password;
        state.end_all_of(name, keep);
        self.save_users(&state)?;
        self.save_sessions(&state)
    }

    /// Sets a user's second factor once its first code proves that the authenticator has it.
    pub fn set_second_factor(
        &self,
        name: &UserName,
        factor: Option<(SecondFactor, &str)>,
        now: u64,
    ) -> Result<(), AccessError> {
        let mut state = self.lock();
        // Whoever found a page open must not put another key in the place of the owner's.
        if factor.is_some() && state.user_mut(name)?.second_factor.is_some() {
            return Err(AccessError::HasFactor { name: name.clone() });
        }
        let factor = match factor {
            Some((mut factor, code)) => {
                if !factor.take(code, now) {
                    return Err(AccessError::Wrong);
                }
                Some(factor)
            }
            None => None,
        };
        state.user_mut(name)?.second_factor = factor;
        self.save_users(&state)
    }

    /// Removes a user with all sessions and tokens.
    pub fn remove_user(&self, name: &UserName) -> Result<(), AccessError> {
        let mut state = self.lock();
        state.refuse_last_admin(name)?;
        state.user_mut(name)?;
        state.users.retain(|user| user.name != *name);
        state.end_all_of(name, None);
        self.save_users(&state)?;
        self.save_sessions(&state)
    }

    /// Makes a token for a program. It can do no more than its user.
    pub fn add_token(
        &self,
        principal: &Principal,
        name: &str,
        role: Role,
        now: u64,
        life: u64,
    ) -> Result<(TokenEntry, Secret), AccessError> {
        let mut state = self.lock();
        state.tokens.retain(|token| token.expires > now);
        if state.tokens.len() >= tokens::ROOM {
            return Err(AccessError::Full { room: tokens::ROOM });
        }
        let role = role.min(principal.role);
        let (token, secret) = Token::new(name, principal.user.clone(), role, now, life)?;
        let entry = token.entry();
        state.tokens.push(token);
        self.save_sessions(&state)?;
        Ok((entry, secret))
    }

    /// Returns the tokens, of one user or of all.
    pub fn tokens(&self, user: Option<&UserName>) -> Vec<TokenEntry> {
        let state = self.lock();
        let tokens = state.tokens.iter();
        let wanted = tokens.filter(|token| user.is_none_or(|user| token.user == *user));
        wanted.map(Token::entry).collect()
    }

    /// Revokes a token and all that streams for it.
    pub fn revoke_token(&self, id: &SessionId) -> Result<(), AccessError> {
        let mut state = self.lock();
        let before = state.tokens.len();
        state.end_tokens(|token| token.id == *id);
        if state.tokens.len() == before {
            return Err(AccessError::Missing { what: "token" });
        }
        self.save_sessions(&state)
    }

    fn begin(
        &self,
        name: UserName,
        credentials: &Credentials,
        now: u64,
    ) -> Result<SignedIn, AccessError> {
        let cookie = {
            let mut state = self.lock();
            let (address, agent) = (credentials.address, credentials.agent.as_str());
            let (cookie, _) = state.sessions.begin(name, address, agent, now)?;
            self.save_sessions(&state)?;
            cookie
        };
        let principal = self.by_cookie(&cookie, now);
        let principal = principal.ok_or(AccessError::Missing { what: "session" })?;
        Ok(SignedIn { cookie, principal })
    }

    async fn keep(&self, password: Secret) -> Result<KeptPassword, AccessError> {
        let _turn = self.hashing.lock().await;
        let kept = tokio::task::spawn_blocking(move || KeptPassword::new(&password)).await;
        Ok(kept.expect("hashing does not panic")?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_users(&self, state: &State) -> Result<(), AccessError> {
        Ok(users::write(&self.folder.join("users.json"), &state.users)?)
    }

    fn save_sessions(&self, state: &State) -> Result<(), AccessError> {
        users::write(&self.folder.join("sessions.json"), &state.sessions.0)?;
        Ok(users::write(
            &self.folder.join("tokens.json"),
            &state.tokens,
        )?)
    }
}

impl State {
    fn user(&self, name: &str) -> Option<&User> {
        let name: UserName = name.parse().ok()?;
        self.users.iter().find(|user| user.name == name)
    }

    fn user_mut(&mut self, name: &UserName) -> Result<&mut User, AccessError> {
        let user = self.users.iter_mut().find(|user| user.name == *name);
        user.ok_or(AccessError::Missing { what: "user" })
    }

    fn check(&mut self, given: &Credentials, is_right: bool, now: u64) -> Option<UserName> {
        let name: UserName = given.name.parse().ok().filter(|_| is_right)?;
        let user = self.user_mut(&name).ok()?;
        let is_proven = match &mut user.second_factor {
            Some(factor) => factor.take(given.code.as_deref()?, now),
            None => true,
        };
        is_proven.then_some(name)
    }

    fn refuse_last_admin(&self, name: &UserName) -> Result<(), AccessError> {
        let mut others = self.users.iter().filter(|user| user.name != *name);
        if others.any(|user| user.role == Role::Admin) {
            return Ok(());
        }
        Err(AccessError::LastAdmin { name: name.clone() })
    }

    fn end_all_of(&mut self, name: &UserName, keep: Option<&SessionId>) {
        self.sessions
            .revoke(|session| session.user == *name && Some(&session.id) != keep);
        self.end_tokens(|token| token.user == *name);
        if let Some(ended) = self.clients.remove(name) {
            ended.send_replace(true);
        }
    }

    fn end_tokens(&mut self, which: impl Fn(&Token) -> bool) {
        self.tokens.retain(|token| {
            let is_over = which(token);
            if is_over {
                token.ended.send_replace(true);
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests;
