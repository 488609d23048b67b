//! The last look at a slot, from the disk and not from memory: the manifest vouches for all of it.

use std::io::Write as _;

use agent_region::disk::Disk;
use content_digest::HashingWriter;
use ota_bundle::{ImageEntry, SEGMENT};

use super::InstallError;

/// Reads an image as it was written. `head` are its first bytes, where they are not written yet.
pub(super) fn image(
    disk: &mut impl Disk,
    image: &ImageEntry,
    place: u64,
    head: &[u8],
    part: &'static str,
) -> Result<(), InstallError> {
    let mut whole = HashingWriter::new(std::io::sink());
    let mut bytes = vec![0; SEGMENT as usize];
    let mut at = 0;
    while at < image.length {
        let left = usize::try_from(image.length - at).unwrap_or(usize::MAX);
        let bytes = &mut bytes[..left.min(SEGMENT as usize)];
        disk.forget(place + at, bytes.len() as u64);
        disk.read_at(place + at, bytes)
            .map_err(InstallError::Disk)?;
        if at == 0 {
            bytes[..head.len()].copy_from_slice(head);
        }
        whole.write_all(bytes).map_err(InstallError::Disk)?;
        at += bytes.len() as u64;
    }
    if whole.finish().1 == image.sha256 {
        return Ok(());
    }
    Err(InstallError::NotKept { part })
}
