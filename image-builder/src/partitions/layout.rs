//! Where partitions lie.

use content_digest::DigestBuilder;

use super::mbr::{FAT32_LBA, LINUX, Mbr, Partition, SECTOR};

/// One mebibyte in bytes.
pub const MIB: u64 = 1 << 20;
/// Partitions begin at multiples of the erase block of common cards.
const ALIGNMENT: u64 = 4 * MIB;

/// The identities of an image, taken from its name and version. Two versions can lie in one machine;
/// two builds of a version share them, so that a small change stays one: ext4's checksums begin with
/// the file system's id, and another id would change every block of its metadata.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Identities {
    /// MBR disk signature.
    pub disk_signature: u32,
    /// FAT volume id.
    pub fat_volume_id: u32,
    /// UUID of the root file system.
    pub root_uuid: String,
    /// Seed of ext4's directory hashes, a UUID too.
    pub hash_seed: String,
}

impl Identities {
    /// Derives the ids.
    pub fn of(name: &str, version: &str) -> Self {
        let digest = DigestBuilder::new()
            .part("identities 1")
            .part(name)
            .part(version)
            .finish();
        let bytes = digest.as_bytes();
        let word =
            |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
            // Zero means "no signature" to Linux.
            disk_signature: word(0) | 1,
            fat_volume_id: word(4),
            root_uuid: uuid(&bytes[8..24]),
            hash_seed: uuid(&bytes[16..32]),
        }
    }
}

/// Formats 16 bytes as a UUID of version 8 (RFC 9562 §5.8: for the maker to fill).
pub fn uuid(bytes: &[u8]) -> String {
    let mut bytes: [u8; 16] = bytes.try_into().expect("sixteen bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

/// The layout `single`: a boot and a root partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Single {
    /// Offset of the boot partition in bytes.
    pub boot_offset: u64,
    /// Size of the boot partition in bytes.
    pub boot_size: u64,
    /// Offset of the root partition in bytes.
    pub root_offset: u64,
    /// Size of the root partition in bytes.
    pub root_size: u64,
}

impl Single {
    /// Lays out partitions of at least these sizes.
    pub fn new(boot_size: u64, root_size: u64) -> Self {
        let boot_size = boot_size.next_multiple_of(ALIGNMENT);
        let root_offset = ALIGNMENT + boot_size;
        Self {
            boot_offset: ALIGNMENT,
            boot_size,
            root_offset,
            root_size: root_size.next_multiple_of(ALIGNMENT),
        }
    }

    /// Returns the size of the whole image in bytes.
    pub const fn image_size(&self) -> u64 {
        self.root_offset + self.root_size
    }

    /// Returns the partition table.
    pub fn table(&self, signature: u32) -> Mbr {
        let partition = |kind, offset: u64, size: u64| Partition {
            kind,
            first: u32::try_from(offset / SECTOR).expect("images are below 2 TiB"),
            sectors: u32::try_from(size / SECTOR).expect("images are below 2 TiB"),
        };
        let partitions = vec![
            partition(FAT32_LBA, self.boot_offset, self.boot_size),
            partition(LINUX, self.root_offset, self.root_size),
        ];
        Mbr {
            signature,
            partitions,
        }
    }
}
