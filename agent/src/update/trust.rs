//! Who may release an update for this device: the root that its image was made with, and what was seen since.

use std::path::Path;

use agent_device::durable;
use ota_bundle::{Bundle, Unverified, Verified};
use update_trust::{Metadata, Seen, verify};

use super::Failure;
use crate::run::say;

/// The root, in the verified root file system.
const ROOT: &str = "/usr/lib/bakelite/update-root.json";
/// What was seen. Both slots share it, and going back does not take it back: counters must not fall.
const SEEN: &str = "/data/update-seen.json";

/// Checks a bundle by what it carries: without a network, expiry is a warning, and counters hold.
pub(super) fn check(bundle: Bundle<Unverified>, now: u64) -> Result<Bundle<Verified>, Failure> {
    let root = fs_err::read(ROOT).map_err(|error| {
        format!("this image was made without keys for updates, so it takes none ({error})")
    })?;
    if bundle.trust().is_empty() {
        return Err("nobody signed this bundle: publish it with `bakelite publish`".into());
    }
    let seen: Seen = match fs_err::read(SEEN) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Seen::default(),
        Err(error) => return Err(error.into()),
    };
    let metadata = Metadata::from_bytes(bundle.trust())?;
    let trusted = verify(&root, &metadata, &seen, i64::try_from(now)?)?;
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
    let verified = bundle.verify(id)?;
    durable::write(Path::new(SEEN), &serde_json::to_vec(&trusted.seen)?)?;
    Ok(verified)
}
