//! Passwords: what is asked of them and how they are kept.

use argon2::password_hash::phc::{PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::secret::{NoRandom, Secret, random};

/// Shortest password. Guessing is slowed down by [`crate::back_off`], so length is all that is asked
/// (NIST SP 800-63B-4, §3.1.1.2, asks for 8 beside a second factor and 15 alone; devices at home are
/// typed into from phones).
pub const SHORTEST: usize = 8;
/// Longest password in bytes: bounds the work of one attempt.
pub const LONGEST: usize = 1024;
/// KiB of memory, passes and lanes (OWASP Password Storage Cheat Sheet, argon2id).
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// The password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is too short.
    #[error("the password needs at least {SHORTEST} characters")]
    Short,
    /// It is too long.
    #[error("the password may have at most {LONGEST} bytes")]
    Long,
    /// Hashing failed.
    #[error("the password cannot be kept")]
    Hash(#[source] argon2::password_hash::Error),
    /// There are no random numbers for the salt.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// A password as it is kept: a PHC string.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptPassword(String);

impl KeptPassword {
    /// Hashes a password. Takes some tenths of a second and 19 MiB on purpose.
    pub fn new(password: &Secret) -> Result<Self, PasswordError> {
        if password.reveal().chars().count() < SHORTEST {
            return Err(PasswordError::Short);
        }
        if password.reveal().len() > LONGEST {
            return Err(PasswordError::Long);
        }
        let salt = Salt::new(&random::<16>()?).expect("16 bytes are a salt");
        let hash = hasher().hash_password_with_salt(password.reveal().as_bytes(), &salt);
        Ok(Self(hash.map_err(PasswordError::Hash)?.to_string()))
    }

    /// Whether this is the password.
    pub fn is(&self, password: &Secret) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else {
            return false;
        };
        password.reveal().len() <= LONGEST
            && hasher()
                .verify_password(password.reveal().as_bytes(), &hash)
                .is_ok()
    }

    /// Does the work of a comparison for a user that does not exist: the time must not tell.
    pub fn compare_with_nobody(password: &Secret) {
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        std::hint::black_box(Self(NOBODY.into()).is(password));
    }
}

impl std::fmt::Debug for KeptPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptPassword(…)")
    }
}

fn hasher() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).expect("constants are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_so_that_only_it_fits() {
        let kept = KeptPassword::new(&Secret::new("correct horse")).unwrap();
        assert!(kept.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(kept.is(&Secret::new("correct horse")));
        assert!(!kept.is(&Secret::new("correct horse ")));
        let again = KeptPassword::new(&Secret::new("correct horse")).unwrap();
        assert_ne!(kept.0, again.0, "salted");
        assert!(!format!("{kept:?}").contains("argon"));
    }

    #[test]
    fn too_short_and_too_long_are_refused_before_any_work() {
        let short = KeptPassword::new(&Secret::new("häßlich")).unwrap_err();
        assert_eq!(short, PasswordError::Short);
        let long = KeptPassword::new(&Secret::new("x".repeat(1025))).unwrap_err();
        assert_eq!(long, PasswordError::Long);
        KeptPassword::compare_with_nobody(&Secret::new("x"));
    }
}
