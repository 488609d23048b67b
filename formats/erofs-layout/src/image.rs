//! An image as `mkfs.erofs` left it: its superblock, and all inodes in the order of their paths.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::inode::{Data, Inode, SLOT, damaged, double, half, unknown, word};
use super::{BLOCK, LayoutError};

/// Where the superblock is, and how long.
pub(super) const SUPERBLOCK: (u64, u64) = (1024, 128);
const MAGIC: u32 = 0xe0f5_e1e2;
/// Where it has its checksum, the root's number, the number of blocks, where inodes begin, and what a reader must know.
pub(super) const CHECKSUM: usize = 4;
const BLOCK_BITS: usize = 12;
pub(super) const ROOT: usize = 14;
pub(super) const BLOCKS: usize = 36;
const META: usize = 40;
const MUST_KNOW: usize = 80;
/// LZ4 with its padding before the data (`EROFS_FEATURE_INCOMPAT_ZERO_PADDING`): that alone moves with its data.
const PADDING: u32 = 1;
/// Length of a folder's entry without its name.
const ENTRY: usize = 12;

/// A file, by its first path.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) path: Vec<u8>,
    pub(super) number: u64,
    pub(super) inode: Inode,
    /// A folder's blocks, but for its end, which its inode has.
    pub(super) blocks: Vec<u8>,
}

/// An image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) superblock: Vec<u8>,
    /// The root first.
    pub(super) nodes: Vec<Node>,
}

impl Image {
    pub(super) fn read(file: &File) -> Result<Self, LayoutError> {
        let superblock = bytes(file, SUPERBLOCK.0, SUPERBLOCK.1)?;
        if word(&superblock, 0) != MAGIC || u32::from(superblock[BLOCK_BITS]) != BLOCK.ilog2() {
            return Err(damaged("it does not begin like an EROFS of 4 KiB blocks"));
        }
        if word(&superblock, META) != 0 || word(&superblock, MUST_KNOW) & !PADDING != 0 {
            return Err(unknown("features of other options"));
        }
        let mut image = Self {
            nodes: Vec::new(),
            superblock,
        };
        let root = half(&image.superblock, ROOT).into();
        image.walk(file, root)?;
        let limit = u64::from(word(&image.superblock, BLOCKS));
        image.check_runs(limit)?;
        Ok(image)
    }

    /// Reads all that is below a folder, depth first; a deep tree needs no deep stack.
    fn walk(&mut self, file: &File, root: u64) -> Result<(), LayoutError> {
        let mut seen = BTreeSet::new();
        let mut left = vec![(Vec::new(), root)];
        while let Some((path, number)) = left.pop() {
            if !seen.insert(number) {
                continue;
            }
            let at = number
                .checked_mul(SLOT)
                .ok_or_else(|| damaged("an inode's number"))?;
            let inode = Inode::read(at, &mut |at, length| bytes(file, at, length))?;
            let mut node = Node {
                path,
                number,
                inode,
                blocks: Vec::new(),
            };
            if node.inode.is_folder {
                let run = node.inode.run();
                node.blocks = bytes(file, run.first * BLOCK, run.count * BLOCK)?;
                let mut names = Vec::new();
                node.each_entry(|number, name, _| names.push((name.to_vec(), number)))?;
                for (name, number) in names.into_iter().rev() {
                    if name != b"." && name != b".." {
                        left.push(([&node.path, &b"/"[..], &name].concat(), number));
                    }
                }
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    /// No block may belong to two files: the same data once would have to be moved once.
    fn check_runs(&self, limit: u64) -> Result<(), LayoutError> {
        let mut runs: Vec<_> = self.nodes.iter().map(|node| node.inode.run()).collect();
        runs.retain(|run| run.count > 0);
        runs.sort_unstable_by_key(|run| run.first);
        let mut end = 0;
        for run in runs {
            if run.first < end {
                return Err(unknown("data that files share"));
            }
            end = run.first + run.count;
        }
        if end > limit {
            return Err(damaged("data beyond its end"));
        }
        Ok(())
    }
}

impl Node {
    /// Calls with number, name and place of every entry of a folder.
    pub(super) fn each_entry(
        &self,
        mut each: impl FnMut(u64, &[u8], Place),
    ) -> Result<(), LayoutError> {
        let size = in_memory(self.inode.size)?;
        let block = usize::try_from(BLOCK).expect("a block");
        // An end that is not a whole block is there only where the inode has it.
        for (index, part) in self.blocks.chunks(block).enumerate() {
            let used = block.min(size - index * block);
            entries(&part[..used], |number, name, at| {
                each(number, name, Place::Block(index * block + at));
            })?;
        }
        let Data::Plain { tail, .. } = self.inode.data else {
            return Err(unknown("a compressed folder"));
        };
        if tail > 0 {
            let begin = self.inode.bytes.len() - usize::try_from(tail).expect("less than a block");
            entries(&self.inode.bytes[begin..], |number, name, at| {
                each(number, name, Place::Inode(begin + at));
            })?;
        }
        Ok(())
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the folder's blocks.
    Block(usize),
    /// In its inode.
    Inode(usize),
}

/// Reads the entries of one block of a folder. Names follow the entries; one ends where the next begins.
fn entries(block: &[u8], mut each: impl FnMut(u64, &[u8], usize)) -> Result<(), LayoutError> {
    let bad = || damaged("a folder's entries");
    if block.len() < ENTRY {
        return Err(bad());
    }
    let first = usize::from(half(block, 8));
    if first == 0 || first % ENTRY != 0 || first > block.len() {
        return Err(bad());
    }
    for at in (0..first).step_by(ENTRY) {
        let begin = usize::from(half(block, at + 8));
        let end = if at + ENTRY < first {
            usize::from(half(block, at + ENTRY + 8))
        } else {
            block.len()
        };
        let name = block.get(begin..end).ok_or_else(bad)?;
        let length = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        each(double(block, at), &name[..length], at);
    }
    Ok(())
}

fn in_memory(length: u64) -> Result<usize, LayoutError> {
    usize::try_from(length).map_err(|error| damaged(&format!("a length: {error}")))
}

fn bytes(file: &File, at: u64, length: u64) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = vec![0; in_memory(length)?];
    match file.read_exact_at(&mut bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damaged("it ends too early"))
        }
        result => result.map(|()| bytes).map_err(LayoutError::Io),
    }
}
