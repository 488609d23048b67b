//! One-time codes from an authenticator (TOTP, RFC 6238: SHA-1, 6 digits, 30 seconds).

use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Secret as Key, Totp};

use crate::secret::{NoRandom, Secret, random};

/// Seconds of a step (RFC 6238, §5.2).
const STEP: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;

/// A user's second factor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecondFactor {
    /// The shared key in base32, as authenticators take it.
    key: Secret,
    /// Step of the last code that was used: none is taken twice.
    last_step: u64,
}

impl SecondFactor {
    /// Makes a key of 160 bits (RFC 4226, §4 R6).
    pub fn new() -> Result<Self, NoRandom> {
        let key = Key::from(random::<20>()?.to_vec());
        Ok(Self {
            key: Secret::new(key.to_base32()),
            last_step: 0,
        })
    }

    /// Takes back a key that was offered.
    pub fn with_key(key: Secret) -> Option<Self> {
        let is_good = key.reveal().len() == 32 && Key::try_from_base32(key.reveal()).is_ok();
        is_good.then_some(Self { key, last_step: 0 })
    }

    /// Returns the key in base32, to be shown once.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// Returns the address that authenticators read from a QR code.
    pub fn address(&self, user: &str, device: &str) -> Secret {
        let key = self.key.reveal();
        Secret::new(format!(
            "otpauth://totp/{device}:{user}?secret={key}&issuer={device}"
        ))
    }

    /// Takes a code, if it is the one of this step or the one before or after, and was not used.
    pub fn take(&mut self, code: &str, now: u64) -> bool {
        let Some(totp) = self.totp() else {
            return false;
        };
        match totp.check(code, now) {
            Some(step) if step > self.last_step => {
                self.last_step = step;
                true
            }
            _ => false,
        }
    }

    /// Returns the code of a moment.
    pub fn code(&self, now: u64) -> Option<Secret> {
        Some(Secret::new(self.totp()?.generate(now).to_string()))
    }

    fn totp(&self) -> Option<Totp> {
        let key = Key::try_from_base32(self.key.reveal()).ok()?;
        let builder = Builder::new().with_secret(key).with_skew(1);
        builder.with_step_duration(STEP).build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, cut to six digits: the key is "12345678901234567890".
        let mut factor = SecondFactor {
            key: Secret::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
            last_step: 0,
        };
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804")] {
            assert_eq!(factor.code(time).unwrap().reveal(), code);
            assert!(factor.take(code, time));
        }
    }

    #[test]
    fn a_code_is_taken_once_and_only_in_its_time() {
        let mut factor = SecondFactor::new().unwrap();
        let code = factor.code(1000).unwrap();
        let later = factor.code(1000 + STEP).unwrap();
        assert!(!factor.take(code.reveal(), 1000 + 3 * STEP));
        assert!(factor.take(code.reveal(), 1000 + STEP), "a slow clock");
        assert!(!factor.take(code.reveal(), 1000), "twice");
        assert!(factor.take(later.reveal(), 1000 + STEP));
        assert!(!factor.take("", 1000) && !factor.take("1234567", 1000));
    }
}
