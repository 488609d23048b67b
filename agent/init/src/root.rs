//! The root file system: read-only, and checked block by block as it is read.

use std::fs::File;
use std::path::Path;

use agent_region::disk::Disk as _;
use agent_update::CommandLine;
use nix::mount::{MsFlags, mount as mount_call};
use verity_tree::{BLOCK, EROFS, SUPERBLOCK_LENGTH, Superblock, erofs_blocks};

use crate::device::Device;
use crate::{Failure, kernel};

/// Mounts the root file system of the running slot.
pub(crate) fn mount(device: &Device, line: &CommandLine, target: &Path) -> Result<(), Failure> {
    let partition = device.partition(device.slot.root_partition());
    let mut file = File::open(&partition)?;
    let mut bytes = [0; 64];
    file.read_at(EROFS.start, &mut bytes)?;
    let blocks = erofs_blocks(&bytes)?;
    let mut bytes = [0; SUPERBLOCK_LENGTH];
    file.read_at(blocks * BLOCK as u64, &mut bytes)?;
    let superblock = Superblock::from_bytes(&bytes)?;
    // The root hash vouches for the blocks; what lies behind them must not change how many are looked at.
    if superblock.data_blocks != blocks {
        return Err("the hash tree is for another file system".into());
    }
    let place = partition.display();
    let mut parameters = format!(
        "1 {place} {place} {BLOCK} {BLOCK} {blocks} {} sha256 {} {}",
        blocks + 1,
        hex::encode(line.root),
        hex::encode(superblock.salt)
    );
    if device.is_trial {
        // A slot that is damaged must not pass: the firmware goes back to the good one.
        parameters.push_str(" 1 panic_on_corruption");
    }
    let mapped =
        kernel::map_read_only("root", "verity", blocks * (BLOCK as u64 / 512), &parameters)?;
    fs_err::create_dir_all(target)?;
    mount_call(
        Some(&mapped),
        target,
        Some("erofs"),
        MsFlags::MS_RDONLY | MsFlags::MS_NOATIME,
        None::<&str>,
    )
    .map_err(|error| {
        format!(
            "cannot mount the root file system of slot {}: {error}",
            device.slot
        )
    })?;
    Ok(())
}
