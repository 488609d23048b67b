//! The users and their file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::one_time::SecondFactor;
use crate::password::KeptPassword;
use crate::role::Role;

/// Longest name.
const NAME: usize = 32;
/// Most users.
pub const ROOM: usize = 64;

/// A user's name: lower-case letters, digits, dots, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// The text is no user's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user's name has 1 to {NAME} lower-case letters, digits, dots, hyphens or underscores and begins with a letter"
)]
pub struct BadUserName;

impl FromStr for UserName {
    type Err = BadUserName;

    fn from_str(text: &str) -> Result<Self, BadUserName> {
        let is_good = text.len() <= NAME
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        is_good.then(|| Self(text.to_owned())).ok_or(BadUserName)
    }
}

impl TryFrom<String> for UserName {
    type Error = BadUserName;

    fn try_from(text: String) -> Result<Self, BadUserName> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Name to sign in with.
    pub name: UserName,
    /// What this user may do.
    pub role: Role,
    /// The password.
    pub password: KeptPassword,
    /// The second factor, if there is one.
    #[serde(default)]
    pub second_factor: Option<SecondFactor>,
}

/// The users' file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a list; a missing file is an empty one.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, FileError> {
    match fs_err::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| FileError::Damaged {
            path: path.into(),
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(FileError::Io {
            path: path.into(),
            source,
        }),
    }
}

/// Writes a list so that it is whole after a power cut, or the one before.
pub(crate) fn write<T: Serialize>(path: &Path, list: &[T]) -> Result<(), FileError> {
    let bytes = serde_json::to_vec_pretty(list).expect("plain data");
    agent_device::durable::write(path, &bytes).map_err(|source| FileError::Io {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain() {
        for good in ["a", "ann", "bob.smith-2_x"] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Ann",
            "1a",
            ".a",
            "a b",
            "a/b",
            "ä",
            "a:b",
            &"a".repeat(33),
        ] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_file_is_empty_and_a_damaged_one_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        assert!(read::<User>(&path).unwrap().is_empty());
        fs_err::write(&path, "[{").unwrap();
        assert!(matches!(
            read::<User>(&path),
            Err(FileError::Damaged { .. })
        ));
    }
}
