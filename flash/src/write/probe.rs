//! Whether a card stores as much as it says. Counterfeit cards say more: what is written behind their end is
//! lost, or lands at their beginning, as they do not look at the upper bits of an address. A card that begins
//! again elsewhere than at a power of two is only found by writing all of it.

use std::io;

use super::disk::BlockDevice;
use crate::memory::{ALIGNMENT, Aligned};

const BLOCK: u64 = ALIGNMENT as u64;
/// The first place that is tried, and the narrowest that the end is sought to.
const STEP: u64 = 1 << 20;

/// What a disk stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "stores")]
pub enum Capacity {
    /// As much as it says, as far as that was looked at.
    Whole,
    /// Less.
    Less {
        /// It stores at least so many bytes.
        at_least: u64,
        /// It does not store the block at this byte.
        not_at: u64,
    },
}

/// Writes a mark at places all over the disk and reads them again. What was there is lost. `nonce` tells these
/// marks from older ones.
pub fn probe(disk: &dyn BlockDevice, nonce: u64) -> io::Result<Capacity> {
    let last = disk.size().saturating_sub(BLOCK) / BLOCK * BLOCK;
    let doubling = std::iter::successors(Some(STEP), |at| at.checked_mul(2));
    let mut places: Vec<u64> = doubling.take_while(|at| *at < last).collect();
    places.insert(0, 0);
    places.push(last);
    places.dedup();
    // From the end: a card that begins again at its beginning then has the marks of the beginning there.
    for at in places.iter().rev() {
        disk.write_at(mark(*at, nonce).bytes(), *at)?;
    }
    disk.flush()?;
    let mut good = 0;
    for at in places {
        if !is_marked(disk, at, nonce)? {
            return narrow(disk, nonce, good, at);
        }
        good = at + BLOCK;
    }
    Ok(Capacity::Whole)
}

/// Seeks the end between a place that is stored and one that is not.
fn narrow(disk: &dyn BlockDevice, nonce: u64, good: u64, bad: u64) -> io::Result<Capacity> {
    let (mut good, mut bad) = (good, bad);
    while bad.saturating_sub(good) > STEP {
        let middle = (good + (bad - good) / 2) / BLOCK * BLOCK;
        disk.write_at(mark(middle, nonce).bytes(), middle)?;
        // What a card keeps in a memory of its own is pushed out by other writes.
        disk.write_at(mark(0, nonce).bytes(), 0)?;
        disk.flush()?;
        if is_marked(disk, middle, nonce)? && is_marked(disk, 0, nonce)? {
            good = middle + BLOCK;
        } else {
            bad = middle;
        }
    }
    Ok(Capacity::Less {
        at_least: good,
        not_at: bad,
    })
}

/// A block that says where it belongs.
fn mark(at: u64, nonce: u64) -> Aligned {
    let mut block = Aligned::new(ALIGNMENT);
    for (number, word) in block.bytes_mut().chunks_exact_mut(8).enumerate() {
        let number = u64::try_from(number).unwrap_or(0);
        let value = (at ^ nonce).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word.copy_from_slice(&value.to_le_bytes());
    }
    block
}

fn is_marked(disk: &dyn BlockDevice, at: u64, nonce: u64) -> io::Result<bool> {
    let mut found = Aligned::new(ALIGNMENT);
    disk.read_at(found.bytes_mut(), at)?;
    Ok(found.bytes() == mark(at, nonce).bytes())
}
