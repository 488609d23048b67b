//! What the owner chose, and what the image's makers chose before; the token for a fleet server.

use std::path::Path;

use agent_device::durable;
use agent_update::protocol::{Choices, Token};

use super::Failure;

/// The makers' choices, in the verified root file system.
const MADE: &str = "/usr/lib/bakelite/update.json";
/// The owner's.
const CHOSEN: &str = "/etc/bakelite/update.json";
/// The device's token for a fleet server. Only root reads it.
const TOKEN: &str = "/etc/bakelite/fleet-token";

/// Reads them. What is damaged counts as absent: a device must take updates.
pub(super) fn load() -> Choices {
    let read = |path: &str| serde_json::from_slice(&fs_err::read(path).ok()?).ok();
    read(CHOSEN).or_else(|| read(MADE)).unwrap_or_default()
}

/// Keeps the owner's. The makers' channel stays that of who names none.
pub(super) fn save(choices: &Choices) -> Result<(), Failure> {
    write(CHOSEN, &serde_json::to_vec_pretty(choices)?)
}

/// Returns what the device says to a fleet server, if it has something to say.
pub(super) fn authorization() -> Option<String> {
    let text = fs_err::read_to_string(TOKEN).ok()?;
    Token::new(&text).header().ok().flatten()
}

/// Keeps the token, or forgets it. Returns whether there is one.
pub(super) fn save_token(token: &Token) -> Result<bool, Failure> {
    let header = token.header()?;
    match &header {
        Some(header) => write(TOKEN, header.as_bytes())?,
        None => match fs_err::remove_file(TOKEN) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        },
    }
    Ok(header.is_some())
}

fn write(path: &str, bytes: &[u8]) -> Result<(), Failure> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(folder)?;
    Ok(durable::write(Path::new(path), bytes)?)
}
