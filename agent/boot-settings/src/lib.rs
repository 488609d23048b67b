//! Takes the settings that somebody left on the boot partition. In: `settings.txt`. Out: files of the system
//! that say the same, and a `settings.txt` without a word of it, as it may hold a password. A power cut in
//! between loses nothing: the same is done again at the next start.

mod card;
mod connection;
mod files;

use std::io;
use std::path::{Path, PathBuf};

use device_settings::{DeviceSettings, FILE, SettingsError, example};

pub use files::apply;

/// What is wrong is told beside it: whoever holds the card reads it on any computer.
const ERROR: &str = "settings-error.txt";

/// The settings are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What stands there.
    #[error("{} is not taken", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SettingsError,
    },
    /// A file.
    #[error("the settings cannot be written down")]
    Write(#[from] io::Error),
}

/// Takes what is on a boot partition into the system below `root`. Returns it, or nothing if nobody filled
/// anything in.
pub fn take(partition: &Path, root: &Path) -> Result<Option<DeviceSettings>, TakeError> {
    let path = partition.join(FILE);
    let text = match fs_err::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let settings = DeviceSettings::read(&text).map_err(|source| TakeError::Settings {
        path: path.clone(),
        source,
    })?;
    if settings.is_empty() {
        forget_error(partition)?;
        return Ok(None);
    }
    apply(root, &settings)?;
    card::write_over(&path, &example())?;
    forget_error(partition)?;
    Ok(Some(settings))
}

/// Leaves a word on what is wrong.
pub fn tell_error(partition: &Path, text: &str) -> io::Result<()> {
    let text = format!("{text}\n").replace('\n', "\r\n");
    card::write_over(&partition.join(ERROR), text.as_bytes())
}

fn forget_error(partition: &Path) -> io::Result<()> {
    match fs_err::remove_file(partition.join(ERROR)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
