//! The last look at a slot, from the disk and not from memory.

use std::io::Write as _;

use agent_region::disk::Disk;
use content_digest::{HashingWriter, Sha256Digest};
use ota_bundle::{Kind, Manifest, SEGMENT};
use verity_tree::{BLOCK, TreeBuilder};

use super::InstallError;

/// Reads the root slot: its digest, and that the hash tree leads to the root hash.
pub(super) fn root(
    disk: &mut impl Disk,
    manifest: &Manifest,
    place: u64,
) -> Result<(), InstallError> {
    let image = manifest.image(Kind::Root);
    let verity = image.verity.as_ref();
    let mut tree = verity.and_then(|verity| Some(TreeBuilder::new(&verity.salt()?)));
    let data = verity.map_or(0, |verity| verity.data_blocks * BLOCK as u64);
    let digest = digest(disk, place, image.length, |at, bytes| {
        for (block, at) in bytes.chunks(BLOCK).zip((at..).step_by(BLOCK)) {
            if let Some(tree) = tree.as_mut().filter(|_| at < data) {
                tree.block(block, &mut |_, _| {});
            }
        }
    })?;
    let found = tree.map(|tree| tree.finish(&mut |_, _| {}));
    if digest == image.sha256 && found == verity.map(|verity| verity.root) {
        return Ok(());
    }
    Err(InstallError::NotKept { part: "root" })
}

/// Reads the boot slot as it will be once it has its first sector.
pub(super) fn boot(
    disk: &mut impl Disk,
    manifest: &Manifest,
    place: u64,
    head: &[u8],
) -> Result<(), InstallError> {
    let image = manifest.image(Kind::Boot);
    let digest = digest(disk, place, image.length, |at, bytes| {
        if at == 0 {
            bytes[..head.len()].copy_from_slice(head);
        }
    })?;
    if digest == image.sha256 {
        Ok(())
    } else {
        Err(InstallError::NotKept { part: "boot" })
    }
}

/// Hashes `length` bytes; `look` sees each piece before, with its place.
fn digest(
    disk: &mut impl Disk,
    place: u64,
    length: u64,
    mut look: impl FnMut(u64, &mut [u8]),
) -> Result<Sha256Digest, InstallError> {
    let mut whole = HashingWriter::new(std::io::sink());
    let mut bytes = vec![0; SEGMENT as usize];
    let mut at = 0;
    while at < length {
        let count = usize::try_from(length - at)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        disk.forget(place + at, count as u64);
        disk.read_at(place + at, &mut bytes[..count])
            .map_err(InstallError::Disk)?;
        look(at, &mut bytes[..count]);
        whole
            .write_all(&bytes[..count])
            .map_err(InstallError::Disk)?;
        at += count as u64;
    }
    Ok(whole.finish().1)
}
