//! The block that says how a tree was made.

use crate::{BLOCK, SALT};

/// Length in bytes; it lies at the beginning of a block.
pub const SUPERBLOCK_LENGTH: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
/// [`BLOCK`] and [`SALT`] as they are written.
const BLOCK_U32: u32 = 4096;
const SALT_U16: u16 = 32;
const _: () = assert!(BLOCK_U32 as usize == BLOCK && SALT_U16 as usize == SALT);

/// How a tree was made. SHA-256, blocks of 4096 bytes and the salt before the data are the only way that is written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Id of the tree.
    pub uuid: [u8; 16],
    /// Number of data blocks.
    pub data_blocks: u64,
    /// Salt.
    pub salt: [u8; SALT],
}

/// The bytes are no superblock of the kind that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no hash tree of dm-verity here: {what}")]
pub struct BadSuperblock {
    what: &'static str,
}

/// Where the superblock of EROFS begins, and how much of it is looked at (Linux: `fs/erofs/erofs_fs.h`).
pub const EROFS: std::ops::Range<u64> = 1024..1088;
const EROFS_MAGIC: u32 = 0xe0f5_e1e2;
/// Logarithm of [`BLOCK`].
const BLOCK_BITS: u8 = 12;

/// Returns the length of an EROFS in blocks: behind them lies the superblock of its tree. `bytes` are those at [`EROFS`].
pub fn erofs_blocks(bytes: &[u8]) -> Result<u64, BadSuperblock> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word))
    };
    match (word(0), bytes.get(12), word(36)) {
        (Some(EROFS_MAGIC), Some(&BLOCK_BITS), Some(blocks)) => Ok(blocks.into()),
        _ => Err(BadSuperblock {
            what: "the slot has no EROFS with blocks of 4096 bytes",
        }),
    }
}

impl Superblock {
    /// Writes the superblock.
    pub fn to_bytes(self) -> [u8; SUPERBLOCK_LENGTH] {
        let mut bytes = [0; SUPERBLOCK_LENGTH];
        bytes[..8].copy_from_slice(SIGNATURE);
        bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&1_u32.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uuid);
        bytes[32..38].copy_from_slice(b"sha256");
        for at in [64, 68] {
            bytes[at..at + 4].copy_from_slice(&BLOCK_U32.to_le_bytes());
        }
        bytes[72..80].copy_from_slice(&self.data_blocks.to_le_bytes());
        bytes[80..82].copy_from_slice(&SALT_U16.to_le_bytes());
        bytes[88..88 + SALT].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads a superblock.
    pub fn from_bytes(bytes: &[u8; SUPERBLOCK_LENGTH]) -> Result<Self, BadSuperblock> {
        let data_blocks = u64::from_le_bytes(bytes[72..80].try_into().expect("eight bytes"));
        let read = Self {
            uuid: bytes[16..32].try_into().expect("sixteen bytes"),
            data_blocks,
            salt: bytes[88..88 + SALT].try_into().expect("thirty-two bytes"),
        };
        if &bytes[..8] != SIGNATURE {
            return Err(BadSuperblock {
                what: "its signature is missing",
            });
        }
        // What is not written is not read: one form, and no room for others.
        if read.to_bytes() != *bytes {
            return Err(BadSuperblock {
                what: "it is of another form than SHA-256 over blocks of 4096 bytes",
            });
        }
        Ok(read)
    }
}
