//! Writes an image anew: superblock, inodes and folders first, then the data of the groups.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::image::{BLOCKS, CHECKSUM, Image, Node, Place, ROOT, SUPERBLOCK};
use super::inode::{Run, SLOT, block_number, damaged};
use super::places::{Places, rounded};
use super::{BLOCK, LayoutError};

/// Bytes that are copied at a time.
const PORTION: u64 = 1 << 20;

/// Where everything goes.
#[derive(Debug)]
struct Plan {
    /// Byte of each inode.
    inodes: Vec<u64>,
    /// First block of each inode's data.
    data: Vec<u64>,
    /// First block behind inodes and folders, and of all.
    meta: u64,
    end: u64,
}

pub(super) fn write(
    image: &Image,
    from: &File,
    to: &File,
    group: &mut dyn FnMut(&[u8]) -> String,
) -> Result<u64, LayoutError> {
    let plan = plan(&image.nodes, group);
    let length = plan.end * BLOCK;
    // Gaps are zeros, and take no room where the file lies.
    to.set_len(length)?;
    let meta = metadata(image, &plan)?;
    to.write_all_at(&meta, 0)?;
    copy(image, &plan, from, to)?;
    Ok(length)
}

fn plan(nodes: &[Node], group: &mut dyn FnMut(&[u8]) -> String) -> Plan {
    let mut at = SUPERBLOCK.0 + SUPERBLOCK.1;
    let mut inodes = Vec::with_capacity(nodes.len());
    for node in nodes {
        at = at.next_multiple_of(SLOT);
        if at % BLOCK + node.inode.whole > BLOCK {
            at = at.next_multiple_of(BLOCK);
        }
        inodes.push(at);
        at += node.inode.bytes.len() as u64;
    }
    let mut meta = at.div_ceil(BLOCK);
    let mut data = vec![0; nodes.len()];
    let mut groups = BTreeMap::<String, Vec<usize>>::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.inode.is_folder {
            data[index] = meta;
            meta += node.inode.run().count;
        } else {
            groups.entry(group(&node.path)).or_default().push(index);
        }
    }
    let meta = rounded(meta);
    let size = |index: &usize| nodes[*index].inode.run().count;
    let sizes = groups
        .iter()
        .map(|(name, members)| (name.clone(), members.iter().map(size).sum()))
        .collect();
    let places = Places::of(&sizes);
    for (name, members) in groups {
        let mut first = meta + places.groups.get(&name).map_or(0, |room| room.first);
        for index in members {
            data[index] = first;
            first += size(&index);
        }
    }
    Plan {
        inodes,
        data,
        meta,
        end: meta + places.end,
    }
}

/// Makes all that stands before the data.
fn metadata(image: &Image, plan: &Plan) -> Result<Vec<u8>, LayoutError> {
    let mut meta = vec![0; usize::try_from(plan.meta * BLOCK).expect("it is in memory")];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = usize::try_from(at).expect("within");
        meta[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let numbers: HashMap<u64, u64> = image
        .nodes
        .iter()
        .zip(&plan.inodes)
        .map(|(node, at)| (node.number, at / SLOT))
        .collect();
    for (index, node) in image.nodes.iter().enumerate() {
        let (mut inode, mut blocks) = (node.inode.clone(), node.blocks.clone());
        let first = if inode.run().count == 0 {
            0
        } else {
            plan.data[index]
        };
        inode.move_to(first)?;
        if inode.is_folder {
            let mut unheard = false;
            node.each_entry(|number, _, place| {
                let Some(number) = numbers.get(&number) else {
                    unheard = true;
                    return;
                };
                let (bytes, at) = match place {
                    Place::Block(at) => (&mut blocks, at),
                    Place::Inode(at) => (&mut inode.bytes, at),
                };
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            })?;
            if unheard {
                return Err(damaged("a folder names an inode that is none of its own"));
            }
            put(first * BLOCK, &blocks);
        }
        put(plan.inodes[index], &inode.bytes);
    }
    let mut superblock = image.superblock.clone();
    let root = u16::try_from(plan.inodes[0] / SLOT).expect("the root is the first");
    let blocks = block_number(plan.end)?;
    superblock[ROOT..ROOT + 2].copy_from_slice(&root.to_le_bytes());
    superblock[BLOCKS..BLOCKS + 4].copy_from_slice(&blocks.to_le_bytes());
    superblock[CHECKSUM..CHECKSUM + 4].fill(0);
    put(SUPERBLOCK.0, &superblock);
    let (_, checked) = meta.split_at_mut(usize::try_from(SUPERBLOCK.0).expect("small"));
    let end = usize::try_from(BLOCK - SUPERBLOCK.0).expect("small");
    let checksum = checksum(&checked[..end]);
    checked[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
    Ok(meta)
}

/// CRC-32C over the rest of the superblock's block, its own place zero, without the inversion at the end
/// (`erofs_superblock_csum_verify`).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    !crc32c::crc32c(bytes)
}

/// Copies the data, in the order in which it goes: what stays side by side at once.
fn copy(image: &Image, plan: &Plan, from: &File, to: &File) -> Result<(), LayoutError> {
    let mut moves: Vec<(u64, Run)> = image
        .nodes
        .iter()
        .zip(&plan.data)
        .filter(|(node, _)| !node.inode.is_folder && node.inode.run().count > 0)
        .map(|(node, &first)| (first, node.inode.run()))
        .collect();
    moves.sort_unstable_by_key(|&(first, _)| first);
    let mut bytes = Vec::new();
    let mut moves = moves.into_iter().peekable();
    while let Some((first, mut run)) = moves.next() {
        while let Some((_, next)) = moves
            .next_if(|&(to, next)| to == first + run.count && next.first == run.first + run.count)
        {
            run.count += next.count;
        }
        let (mut done, length) = (0, run.count * BLOCK);
        while done < length {
            let portion = PORTION.min(length - done);
            bytes.resize(usize::try_from(portion).expect("a portion"), 0);
            from.read_exact_at(&mut bytes, run.first * BLOCK + done)?;
            to.write_all_at(&bytes, first * BLOCK + done)?;
            done += portion;
        }
    }
    Ok(())
}
