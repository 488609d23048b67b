//! The claim code: until somebody owns the device, whoever reads this code from its console may.

use std::fmt;
use std::io;
use std::path::Path;

use device_settings::{CLAIM_RANDOM, claim_code};
use ring::rand::{SecureRandom as _, SystemRandom};

const FILE: &str = "claim-code";

/// A one-time code. It is shown on the console on purpose, and nowhere else.
#[derive(Clone)]
pub struct ClaimCode(String);

/// The code cannot be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Reading or writing failed.
    #[error("cannot keep the claim code")]
    Io(#[source] io::Error),
    /// The kernel gives no random numbers.
    #[error("no random numbers for the claim code")]
    Random,
}

impl ClaimCode {
    /// Loads the code, or makes one if there is none.
    pub fn load_or_make(folder: &Path) -> Result<Self, ClaimError> {
        let file = folder.join(FILE);
        match fs_err::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => return Ok(Self(text.trim().to_owned())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ClaimError::Io(error));
            }
            _ => {}
        }
        let mut random = [0; CLAIM_RANDOM];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_unspecified| ClaimError::Random)?;
        let code = claim_code(random).reveal().to_owned();
        fs_err::create_dir_all(folder).map_err(ClaimError::Io)?;
        crate::durable::write(&file, code.as_bytes()).map_err(ClaimError::Io)?;
        Ok(Self(code))
    }

    /// Returns a code that nothing is: for a device that has an owner.
    pub fn none() -> Self {
        Self(String::new())
    }

    /// Whether this is what somebody read from the console, however they typed it.
    pub fn is(&self, given: &str) -> bool {
        let plain = |text: &str| -> Vec<u8> {
            let letters = text.bytes().filter(u8::is_ascii_alphanumeric);
            letters.map(|letter| letter.to_ascii_uppercase()).collect()
        };
        let (own, given) = (plain(&self.0), plain(given));
        // The same time whatever differs.
        let differences = own.iter().zip(&given).fold(0, |all, (a, b)| all | (a ^ b));
        !own.is_empty() && own.len() == given.len() && differences == 0
    }

    /// Forgets the code on the disk: the device has an owner.
    pub fn use_up(&self, folder: &Path) -> Result<(), ClaimError> {
        match fs_err::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClaimError::Io(error)),
            _ => Ok(()),
        }
    }

    /// Returns the code, for the console.
    pub fn for_console(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_kept_readable_and_never_printed_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        let code = ClaimCode::load_or_make(folder.path()).unwrap();
        assert_eq!(
            ClaimCode::load_or_make(folder.path())
                .unwrap()
                .for_console(),
            code.for_console()
        );
        assert_eq!(code.for_console().len(), 14);
        assert_eq!(format!("{code:?}"), "ClaimCode(…)");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(
            ClaimCode::load_or_make(other.path()).unwrap().for_console(),
            code.for_console()
        );
    }
}
