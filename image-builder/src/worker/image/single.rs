//! The layout `single`: a boot partition and an ext4 that holds the tree.

use std::collections::BTreeSet;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{BLOCK, BYTES_PER_INODE, Image, JOURNAL_MIB, Report, TREE, boot_files, within};
use crate::partitions::fat;
use crate::partitions::layout::{MIB, Single};
use crate::worker::TaskError;

/// What the root file system is to Linux, and what is done about damage.
const ROOT: &str = "rootfstype=ext4 rootwait fsck.repair=yes";

impl Image {
    pub(super) fn single(
        &self,
        disk: &mut fs_err::File,
        tree: &Path,
        boot: u64,
        free: u64,
    ) -> Result<Report, TaskError> {
        let layout = Single::new(boot, root_size(tree, free)?);
        disk.set_len(layout.image_size())?;
        disk.write_all(&layout.table(self.identities.disk_signature).to_sector())?;
        let version = boot_files::kernel_version(tree)?;
        let initramfs = fs_err::read(tree.join(format!("boot/initrd.img-{version}")))?;
        let root = format!(
            "root=PARTUUID={:08x}-02 {ROOT}",
            self.identities.disk_signature
        );
        let mut files = self.boot_files(tree, &version, initramfs, &root)?;
        if self.takes_settings {
            files.insert(device_settings::FILE.into(), device_settings::example());
        }
        let volume = fat::Volume {
            label: "bootfs",
            id: self.identities.fat_volume_id,
            timestamp: self.timestamp,
        };
        let boot_used = fat::write(disk, layout.boot_offset, layout.boot_size, volume, &files)?;
        disk.seek(SeekFrom::Start(0))?;
        let place = (layout.root_offset, layout.root_size);
        let root_used = self.make_ext4(disk, place, "rootfs", "", Some(TREE))?;
        let mut used = vec![(0, 512)];
        used.extend(within(layout.boot_offset, boot_used));
        used.extend(root_used);
        Ok(Report {
            size: layout.image_size(),
            used,
            slots: None,
        })
    }
}

/// Returns how large the root partition must be: the tree's blocks, metadata, and free room.
fn root_size(tree: &Path, free: u64) -> std::io::Result<u64> {
    let (mut blocks, mut inodes) = (0_u64, 0_u64);
    let mut seen = BTreeSet::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.nlink() > 1 && !data.is_dir() && !seen.insert(data.ino()) {
                continue;
            }
            inodes += 1;
            if data.is_dir() {
                blocks += 1;
                folders.push(entry.path());
            } else if data.is_file() {
                // A file of several extents needs a block for their list now and then.
                blocks += data.len().div_ceil(BLOCK) + u64::from(data.len() > 64 * MIB);
            }
        }
    }
    let contents = blocks * BLOCK;
    let inode_tables = (contents / BYTES_PER_INODE).max(inodes) * 256;
    // Group descriptors reserved for growing, bitmaps, and the root's share kept back (-m 1).
    let overhead = JOURNAL_MIB * MIB + inode_tables + contents / 50 + 8 * MIB;
    Ok(contents + overhead + free)
}
