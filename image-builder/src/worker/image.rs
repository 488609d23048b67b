//! Writes a tree into an image file: partition table, boot partition, root partition.
//!
//! The worker is confined to the tools tree; the finished tree shows at `/.bakelite/tree`.

use std::collections::BTreeSet;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Answer, TaskError, confine};
use crate::dpkg::Scripts;
use crate::initramfs;
use crate::partitions::layout::{Identities, MIB, Single};
use crate::partitions::{ext4, fat};
use crate::sandbox::{self, Confinement, Root};

/// Where the finished tree shows.
pub const TREE: &str = "/.bakelite/tree";
/// ext4's block size in bytes.
const BLOCK: u64 = 4096;
/// One inode for so many bytes (`mke2fs -i`): with the tree's own files and room for as many again.
const BYTES_PER_INODE: u64 = 16_384;
/// Size of the journal in MiB: enough for a file system that grows to a whole card.
const JOURNAL_MIB: u64 = 16;

/// An image to write.
#[derive(Debug, Serialize, Deserialize)]
pub struct Image {
    /// What the worker sees.
    pub confinement: Confinement,
    /// The finished tree.
    pub tree: Root,
    /// The image file, in the tools tree's view.
    pub image: PathBuf,
    /// Size of the boot partition in bytes.
    pub boot_size: u64,
    /// Free room in the root partition in bytes.
    pub free: u64,
    /// Ids of disk and file systems.
    pub identities: Identities,
    /// Newest time in the image.
    pub timestamp: i64,
    /// Lines of `config.txt`.
    pub config: Vec<String>,
    /// Arguments of `cmdline.txt`, without `root=`.
    pub kernel_arguments: Vec<String>,
    /// Whether the device reads settings from its boot partition: the agent does.
    pub takes_settings: bool,
    /// Device trees, by file name.
    pub device_trees: Vec<String>,
}

/// What an image holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Report {
    /// Size of the image in bytes.
    pub size: u64,
    /// Layout of the partitions.
    pub layout: Option<Single>,
    /// Used ranges of bytes, rising: (offset, length).
    pub used: Vec<(u64, u64)>,
    /// Files of the boot partition with their sizes.
    pub boot_files: Vec<(String, u64)>,
    /// Bytes used in the root file system.
    pub root_used: u64,
}

impl Image {
    pub(super) fn work(self) -> Result<Answer, TaskError> {
        // The tree below was checked when it was made.
        if let Root::Layered { layer, .. } = &self.tree
            && let Some(first) = initramfs::foreign_elf_in_tree(&layer.join("upper"))?
                .into_iter()
                .next()
        {
            return Err(Box::new(first));
        }
        sandbox::show(&self.tree, &self.confinement, TREE)?;
        confine(&self.confinement)?;
        let tree = Path::new(TREE);
        let layout = Single::new(self.boot_size, root_size(tree, self.free)?);
        let mut disk = fs_err::OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&self.image)?;
        disk.set_len(layout.image_size())?;
        disk.write_all(&layout.table(self.identities.disk_signature).to_sector())?;
        let files = self.boot_files(tree)?;
        let volume = fat::Volume {
            label: "bootfs",
            id: self.identities.fat_volume_id,
            timestamp: self.timestamp,
        };
        let fat_used = fat::write(
            &mut disk,
            layout.boot_offset,
            layout.boot_size,
            volume,
            &files,
        )?;
        disk.seek(SeekFrom::Start(0))?;
        self.make_root(&layout)?;
        ext4::settle_access_times(&mut disk, layout.root_offset)?;
        let ext4_used = ext4::used_blocks(&mut disk, layout.root_offset)?;
        let mut used = vec![(0, 512)];
        used.extend(
            fat_used
                .iter()
                .map(|(at, length)| (layout.boot_offset + at, *length)),
        );
        let block = ext4_used.block_size;
        used.extend(
            ext4_used
                .ranges
                .iter()
                .map(|(first, count)| (layout.root_offset + first * block, count * block)),
        );
        let report = Report {
            size: layout.image_size(),
            layout: Some(layout),
            root_used: ext4_used
                .ranges
                .iter()
                .map(|(_, count)| count * block)
                .sum(),
            used,
            boot_files: files
                .iter()
                .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
                .collect(),
        };
        sandbox::umount_all()?;
        Ok(Answer {
            image: Some(report),
            ..Answer::default()
        })
    }

    fn make_root(&self, layout: &Single) -> Result<(), TaskError> {
        let extended = format!(
            "offset={},hash_seed={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
            layout.root_offset, self.identities.hash_seed
        );
        let (journal, inode) = (format!("size={JOURNAL_MIB}"), BYTES_PER_INODE.to_string());
        let blocks = (layout.root_size / BLOCK).to_string();
        let image = self.image.display().to_string();
        let arguments = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-L",
            "rootfs",
            "-U",
            &self.identities.root_uuid,
            "-E",
            &extended,
            "-J",
            &journal,
            "-i",
            &inode,
            "-m",
            "1",
            "-d",
            TREE,
            &image,
            &blocks,
        ];
        let time = self.timestamp.to_string();
        let environment = [("E2FSPROGS_FAKE_TIME", time.as_str())];
        Ok(Scripts::new(self.timestamp).run(
            Path::new("/usr/sbin/mke2fs"),
            &arguments,
            &environment,
            "e2fsprogs",
            "mke2fs",
        )?)
    }

    /// Collects what the boot ROM and the kernel need: firmware, kernel,
    /// initramfs, device trees, `config.txt`, `cmdline.txt`.
    fn boot_files(&self, tree: &Path) -> Result<fat::Files, TaskError> {
        let mut files = fat::Files::new();
        let firmware = tree.join("usr/lib/raspi-firmware");
        for entry in fs_err::read_dir(&firmware)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.insert(
                    entry.file_name().to_string_lossy().into_owned(),
                    fs_err::read(entry.path())?,
                );
            }
        }
        let versions = fs_err::read_dir(tree.join("usr/lib/modules"))?.flatten();
        let version = versions
            .filter_map(|e| e.file_name().into_string().ok())
            .max()
            .ok_or("the image has no kernel")?;
        for (name, from) in [
            ("vmlinuz", format!("boot/vmlinuz-{version}")),
            ("initrd.img", format!("boot/initrd.img-{version}")),
        ] {
            files.insert(name.to_owned(), fs_err::read(tree.join(from))?);
        }
        let trees = tree.join(format!("usr/lib/linux-image-{version}"));
        let wanted: BTreeSet<&str> = self.device_trees.iter().map(String::as_str).collect();
        for name in wanted {
            let file = ["broadcom", ""]
                .iter()
                .map(|folder| trees.join(folder).join(name))
                .find(|file| file.is_file());
            let file =
                file.ok_or_else(|| format!("the kernel {version} has no device tree {name}"))?;
            files.insert(name.to_owned(), fs_err::read(file)?);
        }
        for entry in fs_err::read_dir(trees.join("overlays"))
            .into_iter()
            .flatten()
            .flatten()
        {
            files.insert(
                format!("overlays/{}", entry.file_name().to_string_lossy()),
                fs_err::read(entry.path())?,
            );
        }
        files.insert(
            "config.txt".into(),
            (self.config.join("\n") + "\n").into_bytes(),
        );
        let root = format!("root=PARTUUID={:08x}-02", self.identities.disk_signature);
        let line = std::iter::once(root)
            .chain(self.kernel_arguments.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ");
        files.insert("cmdline.txt".into(), (line + "\n").into_bytes());
        if self.takes_settings {
            files.insert(device_settings::FILE.into(), device_settings::example());
        }
        Ok(files)
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
