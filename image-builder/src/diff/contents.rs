//! What an image holds: the files of its boot partition and of its root file system.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use content_digest::{HashingWriter, Sha256Digest};
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Metadata};
use serde::Serialize;

use super::DiffError;
use crate::disk;
use crate::firmware::BootPartition;
use crate::partitions::mbr::{self, SECTOR};

/// One file of the root file system. Extended attributes are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// `file`, `folder`, `link`, `device` or `other`.
    pub kind: &'static str,
    /// Permission bits, octal.
    pub mode: String,
    /// Owner and group, as numbers.
    pub owner: String,
    /// Size in bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Digest of a file's contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// Target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Time of the last change, in seconds since 1970.
    pub modified: i64,
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
    /// Files of the root file system by path; none if it is not read, that of an image with two slots.
    pub files: Option<BTreeMap<String, FileFacts>>,
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
        let mut files = None;
        if let Some(root) = boot.table.partitions.iter().find(|p| p.kind == mbr::LINUX) {
            let partition = Partition {
                disk: file.into_file(),
                start: u64::from(root.first) * SECTOR,
            };
            let root = Ext4::load(Box::new(partition));
            let files = files.insert(BTreeMap::new());
            root.and_then(|root| add_folder(&root, "/", files))
                .map_err(|source| DiffError::Root {
                    path: image.display().to_string(),
                    source: Box::new(source),
                })?;
        }
        Ok(Self {
            boot: boot_files.collect(),
            files,
        })
    }
}

struct Partition {
    disk: std::fs::File,
    start: u64,
}

impl Ext4Read for Partition {
    fn read(
        &mut self,
        start_byte: u64,
        target: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.disk.read_exact_at(target, self.start + start_byte)?)
    }
}

fn add_folder(
    root: &Ext4,
    folder: &str,
    files: &mut BTreeMap<String, FileFacts>,
) -> Result<(), Ext4Error> {
    for entry in root.read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_ref() == b"." || name.as_ref() == b".." {
            continue;
        }
        let path = entry.path();
        let shown = path.display().to_string();
        let data = entry.metadata()?;
        files.insert(shown.clone(), facts(root, &path, &data)?);
        if data.is_dir() {
            add_folder(root, &shown, files)?;
        }
    }
    Ok(())
}

fn facts(root: &Ext4, path: &ext4_view::PathBuf, data: &Metadata) -> Result<FileFacts, Ext4Error> {
    let kind = match data.file_type() {
        FileType::Regular => "file",
        FileType::Directory => "folder",
        FileType::Symlink => "link",
        FileType::BlockDevice | FileType::CharacterDevice => "device",
        _ => "other",
    };
    let is_file = data.file_type() == FileType::Regular;
    let sha256 = if is_file {
        let mut hash = HashingWriter::new(std::io::sink());
        let mut contents = root.open(path)?;
        std::io::copy(&mut contents, &mut hash).map_err(|error| Ext4Error::Io(Box::new(error)))?;
        Some(hash.finish().1)
    } else {
        None
    };
    let target = if data.is_symlink() {
        Some(root.read_link(path)?.display().to_string())
    } else {
        None
    };
    Ok(FileFacts {
        kind,
        mode: format!("{:04o}", data.mode() & 0o7777),
        owner: format!("{}:{}", data.uid(), data.gid()),
        size: is_file.then(|| data.len()),
        sha256,
        target,
        modified: data.modified().seconds(),
    })
}
