//! Who may release an update for this device: the root that its image was made with, and what was seen since.

use std::path::Path;
use std::sync::{Arc, Mutex};

use agent_device::durable;
use agent_update::channel::{self, Last, LookError, Server};
use ota_bundle::{Bundle, Unverified, Verified};
use update_trust::{Held, Memory, Metadata, Trusted, verify};

use super::Failure;
use crate::run::say;

/// The root, in the verified root file system.
const ROOT: &str = "/usr/lib/bakelite/update-root.json";
/// What was seen. Both slots share it, and going back does not take it back: counters must not fall.
const SEEN: &str = "/data/update-seen.json";

fn root() -> Result<Vec<u8>, Failure> {
    fs_err::read(ROOT).map_err(|error| {
        format!("this image was made without keys for updates, so it takes none ({error})").into()
    })
}

fn memory() -> Result<Memory, Failure> {
    match fs_err::read(SEEN) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Memory::default()),
        Err(error) => Err(error.into()),
    }
}

fn keep(mut memory: Memory, channel: Option<&str>, trusted: &Trusted) -> Result<(), Failure> {
    if memory.keep(channel, trusted) {
        durable::write(Path::new(SEEN), &serde_json::to_vec(&memory)?)?;
    }
    Ok(())
}

/// Looks what the channel at an address says: what is old is refused.
pub(super) fn look<S: Server>(
    server: &Arc<Mutex<S>>,
    address: &str,
    last: &mut Last,
    now: u64,
) -> Result<Trusted, Failure> {
    let (memory, now) = (memory()?, i64::try_from(now)?);
    let trusted = channel::look(&root()?, server, &memory.of(address), last, now);
    let trusted = trusted.map_err(|error: LookError| Box::new(error))?;
    keep(memory, Some(address), &trusted)?;
    Ok(trusted)
}

/// Checks a bundle by what it carries: without a network, expiry is a warning; no key that was revoked signs anything, and what a
/// channel has held back or taken back is refused.
pub(super) fn check(bundle: Bundle<Unverified>, now: u64) -> Result<Bundle<Verified>, Failure> {
    if bundle.trust().is_empty() {
        return Err("nobody signed this bundle: publish it with `bakelite publish`".into());
    }
    let metadata = Metadata::from_bytes(bundle.trust())?;
    let memory = memory()?;
    let trusted = verify(&root()?, &metadata, &memory.of_none(), i64::try_from(now)?)?;
    if let Some(expired) = &trusted.expired {
        say(&format!(
            "The bundle's {} metadata has expired, by this device's clock.",
            expired.role
        ));
    }
    let id = content_digest::Sha256Digest::of(bundle.manifest_bytes());
    if !trusted.vouches_for(id) {
        return Err("the bundle is not among those that its signatures are about".into());
    }
    if let Some((channel, held)) = memory.held(id) {
        let what = match held {
            Held::Yanked => "was taken back",
            _ => "is held back",
        };
        return Err(format!(
            "this version {what} by its makers, said {channel} when this device last looked there: look again if that has changed"
        )
        .into());
    }
    let verified = bundle.verify(id)?;
    keep(memory, None, &trusted)?;
    Ok(verified)
}
