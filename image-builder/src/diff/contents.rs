//! What an image holds: the files of its boot partition and of its root file system.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use boot_partition::logical;
use content_digest::Sha256Digest;
use serde::Serialize;

use super::{DiffError, erofs, ext4};
use crate::disk;
use crate::firmware::BootPartition;
use crate::partitions::mbr::{self, SECTOR};

/// The first root slot of an image with two.
const ROOT_SLOT: u32 = 5;

/// One file of the root file system. Extended attributes are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Permission bits, octal.
    pub mode: String,
    /// Owner and group, as numbers.
    pub owner: String,
    /// Time of the last change, in seconds since 1970.
    pub modified: i64,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A file.
    File {
        /// Size in bytes.
        size: u64,
        /// Digest of its contents.
        sha256: Sha256Digest,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
    /// A node of a device.
    Device,
    /// A pipe or a socket.
    Other,
}

/// Numbers of owner and group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl FileFacts {
    pub(super) fn new(kind: Kind, mode: u16, owner: Owner, modified: i64) -> Self {
        Self {
            kind,
            mode: format!("{:04o}", mode & 0o7777),
            owner: format!("{}:{}", owner.user, owner.group),
            modified,
        }
    }
}

/// One boot file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootFile {
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256Digest,
}

/// All files of an image.
#[derive(Debug)]
pub struct Contents {
    /// Files of the boot partition by name, as FAT compares: in lower case.
    pub boot: BTreeMap<String, BootFile>,
    /// Files of the root file system by path.
    pub files: BTreeMap<String, FileFacts>,
}

impl Contents {
    /// Reads an image: `.img`, `.img.zst` or `.img.xz`.
    pub fn read(image: &Path, scratch: &Path) -> Result<Self, DiffError> {
        let path = scratch.join("disk.img");
        disk::decompress(image, &path, 0)?;
        let mut file = fs_err::File::open(&path)?;
        let firmware = |source| DiffError::Boot {
            path: image.display().to_string(),
            source,
        };
        let boot = BootPartition::read(&mut file).map_err(firmware)?;
        let boot_files = boot.names().map(|(name, size)| {
            let bytes = boot.file(name).unwrap_or_default();
            let sha256 = Sha256Digest::of(bytes);
            (name.to_owned(), BootFile { size, sha256 })
        });
        let parts = logical::numbered(&mut file)?;
        let begin = |first: u32| u64::from(first) * SECTOR;
        let slot = parts.iter().find(|(number, _)| *number == ROOT_SLOT);
        let files = match (slot, parts.iter().find(|(_, part)| part.kind == mbr::LINUX)) {
            (Some((_, slot)), _) => erofs::files(file.file(), begin(slot.first)),
            (None, Some((_, root))) => ext4::files(file.into_file(), begin(root.first)),
            (None, None) => Err(io::Error::other("there is no partition of Linux")),
        };
        let files = files.map_err(|source| DiffError::Root {
            path: image.display().to_string(),
            source,
        })?;
        Ok(Self {
            boot: boot_files.collect(),
            files,
        })
    }
}
