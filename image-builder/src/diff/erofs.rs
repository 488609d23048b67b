//! The files of a root slot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use content_digest::{HashingWriter, Sha256Digest};
use erofs_rs::backend::SliceImage;
use erofs_rs::types::Inode;
use erofs_rs::{EroFS, Error};

use super::contents::{FileFacts, Kind, Owner};

/// Where the superblock has the number of blocks, and how large one of ours is (Linux: `fs/erofs/erofs_fs.h`).
const BLOCKS: u64 = 1024 + 36;
const BLOCK: u64 = 4096;

/// Reads all files of the file system that begins at this byte of a disk. It is in memory as long as that takes: as it is
/// compressed, some 250 MB.
pub(super) fn files(disk: &File, start: u64) -> io::Result<BTreeMap<String, FileFacts>> {
    let mut blocks = [0; 4];
    disk.read_exact_at(&mut blocks, start + BLOCKS)?;
    let length = u64::from(u32::from_le_bytes(blocks)) * BLOCK;
    let room = disk.metadata()?.len().saturating_sub(start);
    if length > room {
        return Err(io::Error::other("the file system is longer than the disk"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    disk.read_exact_at(&mut bytes, start)?;
    read(&bytes).map_err(io::Error::other)
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, FileFacts>, Error> {
    let root = EroFS::new(SliceImage::new(bytes))?;
    let mut files = BTreeMap::new();
    for entry in root.walk_dir("/")? {
        let entry = entry?;
        let path = entry.dir_entry.path().to_string_lossy().into_owned();
        files.insert(path, facts(&root, entry.inode)?);
    }
    Ok(files)
}

fn facts(root: &EroFS<SliceImage<'_>>, inode: Inode) -> Result<FileFacts, Error> {
    let kind = if inode.is_file() {
        Kind::File {
            size: inode.data_size(),
            sha256: digest(root, inode)?,
        }
    } else if inode.is_dir() {
        Kind::Folder
    } else if inode.is_symlink() {
        let target = root.read_link_inode(inode)?;
        Kind::Link {
            target: target.to_string_lossy().into_owned(),
        }
    } else if inode.device().is_some() {
        Kind::Device
    } else {
        Kind::Other
    };
    let owner = Owner {
        user: inode.uid(),
        group: inode.gid(),
    };
    let mode = u16::try_from(inode.permissions().mode() & 0o7777).unwrap_or(0);
    Ok(FileFacts::new(kind, mode, owner, inode.modified_unix().0))
}

fn digest(root: &EroFS<SliceImage<'_>>, inode: Inode) -> Result<Sha256Digest, Error> {
    let mut hash = HashingWriter::new(io::sink());
    io::copy(&mut root.open_inode_file(inode)?, &mut hash)?;
    Ok(hash.finish().1)
}
