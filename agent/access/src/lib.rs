//! Who may do what. In: names, passwords, one-time codes, cookies and tokens. Out: a [`Principal`],
//! which nothing else can make, or a refusal that says no more than it must.
//!
//! Passwords are kept as argon2id, cookies and tokens as SHA-256. A session that is revoked says so to
//! whatever still streams for it ([`Principal::ended`]).

pub mod role;
pub mod secret;
pub mod password;
pub mod one_time;
pub mod back_off;
pub mod users;
pub mod sessions;
pub mod tokens;
pub mod audit;
pub mod access;

pub use access::{Access, AccessError, Credentials, SignedIn};
pub use role::Role;
pub use secret::Secret;
pub use sessions::{Principal, SessionId};
pub use users::UserName;
