//! The files of a root file system that a device writes to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use content_digest::{HashingWriter, Sha256Digest};
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Metadata};

use super::contents::{FileFacts, Kind, Owner};

/// Reads all files of the file system that begins at this byte of a disk.
pub(super) fn files(disk: File, start: u64) -> io::Result<BTreeMap<String, FileFacts>> {
    let mut files = BTreeMap::new();
    let read = || {
        let root = Ext4::load(Box::new(Partition { disk, start }))?;
        add_folder(&root, "/", &mut files)
    };
    read().map_err(io::Error::other)?;
    Ok(files)
}

struct Partition {
    disk: File,
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
        FileType::Regular => Kind::File {
            size: data.len(),
            sha256: digest(root, path)?,
        },
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link {
            target: root.read_link(path)?.display().to_string(),
        },
        FileType::BlockDevice | FileType::CharacterDevice => Kind::Device,
        _ => Kind::Other,
    };
    let owner = Owner {
        user: data.uid(),
        group: data.gid(),
    };
    Ok(FileFacts::new(
        kind,
        data.mode(),
        owner,
        data.modified().seconds(),
    ))
}

fn digest(root: &Ext4, path: &ext4_view::PathBuf) -> Result<Sha256Digest, Ext4Error> {
    let mut hash = HashingWriter::new(io::sink());
    let mut contents = root.open(path)?;
    io::copy(&mut contents, &mut hash).map_err(|error| Ext4Error::Io(Box::new(error)))?;
    Ok(hash.finish().1)
}
