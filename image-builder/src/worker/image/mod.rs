//! Writes a tree into an image file: partition tables, boot partitions, root and data.
//!
//! The worker is confined to the tools tree; the finished tree shows at `/.bakelite/tree`.

mod ab;
mod boot_files;
mod groups;
mod single;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Answer, TaskError, confine};
use crate::dpkg::Scripts;
use crate::initramfs;
use crate::outputs::bundle::Slots;
use crate::partitions::ext4;
use crate::partitions::layout::Identities;
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
    /// How it is laid out.
    pub form: Form,
    /// Ids of disk and file systems.
    pub identities: Identities,
    /// Newest time in the image.
    pub timestamp: i64,
    /// Lines of `config.txt`.
    pub config: Vec<String>,
    /// Arguments of `cmdline.txt`, without those that say where the root is.
    pub kernel_arguments: Vec<String>,
    /// Whether the device reads settings from its boot partition: the agent does.
    pub takes_settings: bool,
    /// Device trees, by file name.
    pub device_trees: Vec<String>,
    /// Modules of the initramfs, by name.
    pub initramfs_modules: Vec<String>,
    /// Processors that may be used.
    pub threads: usize,
}

/// How an image is laid out. Sizes are in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One boot and one root partition.
    Single {
        /// Size of the boot partition.
        boot: u64,
        /// Free room in the root partition.
        free: u64,
    },
    /// Two slots and a data partition.
    Ab {
        /// Size of a boot slot.
        boot: u64,
        /// Size of a root slot.
        root: u64,
    },
}

/// What an image holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Report {
    /// Size of the image in bytes.
    pub size: u64,
    /// Used ranges of bytes, rising: (offset, length).
    pub used: Vec<(u64, u64)>,
    /// What an update of it consists of, if it has slots.
    pub slots: Option<Slots>,
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
        let mut disk = fs_err::OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&self.image)?;
        let report = match self.form {
            Form::Single { boot, free } => self.single(&mut disk, tree, boot, free)?,
            Form::Ab { boot, root } => self.ab(&mut disk, tree, boot, root)?,
        };
        sandbox::umount_all()?;
        Ok(Answer {
            image: Some(report),
            ..Answer::default()
        })
    }

    /// Makes an ext4 at an offset of the image, with the files of a folder or empty. Returns its used ranges, from the
    /// beginning of the image.
    fn make_ext4(
        &self,
        disk: &mut fs_err::File,
        place: (u64, u64),
        label: &str,
        extended: &str,
        files: Option<&str>,
    ) -> Result<Vec<(u64, u64)>, TaskError> {
        let (offset, size) = place;
        let extended = format!(
            "offset={offset},hash_seed={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard{extended}",
            self.identities.hash_seed
        );
        let (journal, inode) = (format!("size={JOURNAL_MIB}"), BYTES_PER_INODE.to_string());
        let blocks = (size / BLOCK).to_string();
        let image = self.image.display().to_string();
        let mut arguments = vec![
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-L",
            label,
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
        ];
        if let Some(files) = files {
            arguments.extend(["-d", files]);
        }
        arguments.extend([image.as_str(), &blocks]);
        let time = self.timestamp.to_string();
        let environment = [("E2FSPROGS_FAKE_TIME", time.as_str())];
        Scripts::new(self.timestamp).run(
            Path::new("/usr/sbin/mke2fs"),
            &arguments,
            &environment,
            "e2fsprogs",
            "mke2fs",
        )?;
        ext4::settle_access_times(disk, offset)?;
        let used = ext4::used_blocks(disk, offset)?;
        let block = used.block_size;
        Ok(used
            .ranges
            .iter()
            .map(|(first, count)| (offset + first * block, count * block))
            .collect())
    }
}

/// Ranges of one partition as ranges of the disk.
fn within(offset: u64, ranges: Vec<(u64, u64)>) -> impl Iterator<Item = (u64, u64)> {
    ranges
        .into_iter()
        .map(move |(at, length)| (offset + at, length))
}
