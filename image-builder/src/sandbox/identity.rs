//! Which ids of the host the worker's user namespace may use.

use std::path::Path;

/// What the user namespace is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Root: every id that this process has is mapped to itself.
    Root,
    /// An ordinary user with ranges of subordinate ids.
    Subordinate {
        /// The user's own id, which is root inside.
        uid: u32,
        /// The user's own group, which is root's inside.
        gid: u32,
        /// First subordinate user id and how many.
        uids: (u32, u32),
        /// First subordinate group id and how many.
        gids: (u32, u32),
    },
}

/// Why an ordinary user cannot build.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No range in `/etc/subuid` or `/etc/subgid`.
    #[error("user {user} has no range of 65536 subordinate ids in {file}")]
    NoRange {
        /// The user.
        user: String,
        /// The file that lacks the range.
        file: &'static str,
    },
    /// The user has no entry in the user database.
    #[error("user id {uid} has no entry in the user database")]
    NoUser {
        /// The id.
        uid: u32,
    },
}

/// Debian's ids go up to 65534 (nobody).
const NEEDED: u32 = 65536 - 1;

impl Identity {
    /// Returns the identity of this process.
    pub fn current() -> Result<Self, IdentityError> {
        let uid = nix::unistd::geteuid();
        if uid.is_root() {
            return Ok(Self::Root);
        }
        let Ok(Some(user)) = nix::unistd::User::from_uid(uid) else {
            return Err(IdentityError::NoUser { uid: uid.as_raw() });
        };
        let range = |file: &'static str| {
            let text = fs_err::read_to_string(Path::new(file)).unwrap_or_default();
            find_range(&text, &user.name, uid.as_raw()).ok_or(IdentityError::NoRange {
                user: user.name.clone(),
                file,
            })
        };
        Ok(Self::Subordinate {
            uid: uid.as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            uids: range("/etc/subuid")?,
            gids: range("/etc/subgid")?,
        })
    }
}

/// Finds the largest range of `user` (by name or number) in a subuid(5) file.
fn find_range(text: &str, user: &str, uid: u32) -> Option<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let range = (
            fields.next()?.parse().ok()?,
            fields.next()?.trim().parse().ok()?,
        );
        (name == user || name == uid.to_string()).then_some(range)
    });
    ranges
        .filter(|(_, count)| *count >= NEEDED)
        .max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_largest_range_by_name_or_number() {
        let text = "a:100000:65536\nb:200000:10\n1001:300000:131072\nb:400000:65536\n";
        assert_eq!(find_range(text, "b", 1001), Some((300_000, 131_072)));
        assert_eq!(find_range(text, "a", 7), Some((100_000, 65_536)));
        assert_eq!(find_range(text, "c", 7), None);
    }
}
