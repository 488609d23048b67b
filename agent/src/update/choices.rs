//! What the owner chose, and what the image's makers chose before.

use std::path::Path;

use agent_device::durable;
use agent_update::protocol::Choices;

use super::Failure;

/// The makers' choices, in the verified root file system.
const MADE: &str = "/usr/lib/bakelite/update.json";
/// The owner's.
const CHOSEN: &str = "/etc/bakelite/update.json";

/// Reads them. What is damaged counts as absent: a device must take updates.
pub(super) fn load() -> Choices {
    let read = |path: &str| serde_json::from_slice(&fs_err::read(path).ok()?).ok();
    read(CHOSEN).or_else(|| read(MADE)).unwrap_or_default()
}

/// Keeps the owner's. The makers' channel stays that of who names none.
pub(super) fn save(choices: &Choices) -> Result<(), Failure> {
    let folder = Path::new(CHOSEN).parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(folder)?;
    Ok(durable::write(
        Path::new(CHOSEN),
        &serde_json::to_vec_pretty(choices)?,
    )?)
}
