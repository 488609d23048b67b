//! Where partitions lie.

use content_digest::DigestBuilder;

use boot_partition::logical::{self, EXTENDED_LBA, Logical};

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

fn partition(kind: u8, offset: u64, size: u64) -> Partition {
    Partition {
        kind,
        first: u32::try_from(offset / SECTOR).expect("images are below 2 TiB"),
        sectors: u32::try_from(size / SECTOR).expect("images are below 2 TiB"),
    }
}

/// Size of the partition that chooses the slot: the smallest that is FAT32 by its clusters, with some room above, since
/// tools and firmware disagree near the limit.
const SELECTOR_SIZE: u64 = 36 * MIB;
/// Size of the data partition in the image; it grows on the device.
const DATA_SIZE: u64 = 64 * MIB;

/// The layout `ab`: a partition that chooses, two boot slots, two root slots, and data.
///
/// ```text
/// 0        partition table
/// 1 MiB    the agent's region, 64 KiB
/// 4 MiB    p1  autoboot.txt, bootcode.bin, settings.txt
///          p2  boot slot A
///          p3  boot slot B
///          p4  extended: before each logical partition, 4 MiB with its table
///            p5  root slot A
///            p6  root slot B
///            p7  data
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ab {
    /// Size of a boot slot in bytes.
    pub boot_size: u64,
    /// Size of a root slot in bytes.
    pub root_size: u64,
}

impl Ab {
    /// Lays out slots of at least these sizes.
    pub const fn new(boot_size: u64, root_size: u64) -> Self {
        Self {
            boot_size: boot_size.next_multiple_of(ALIGNMENT),
            root_size: root_size.next_multiple_of(ALIGNMENT),
        }
    }

    /// Returns offset and size of the partition that chooses the slot.
    pub const fn selector(&self) -> (u64, u64) {
        (ALIGNMENT, SELECTOR_SIZE)
    }

    /// Returns offset and size of a boot slot: 0 is A, 1 is B.
    pub const fn boot(&self, slot: u64) -> (u64, u64) {
        (
            ALIGNMENT + SELECTOR_SIZE + slot * self.boot_size,
            self.boot_size,
        )
    }

    const fn extended(&self) -> u64 {
        self.boot(2).0
    }

    /// Returns offset and size of a root slot: 0 is A, 1 is B.
    pub const fn root(&self, slot: u64) -> (u64, u64) {
        let each = ALIGNMENT + self.root_size;
        (self.extended() + slot * each + ALIGNMENT, self.root_size)
    }

    /// Returns offset and size of the data partition.
    pub const fn data(&self) -> (u64, u64) {
        (self.root(2).0, DATA_SIZE)
    }

    /// Returns the size of the whole image in bytes.
    pub const fn image_size(&self) -> u64 {
        self.data().0 + DATA_SIZE
    }

    /// Returns the sectors of all partition tables, each with its offset in bytes.
    pub fn tables(&self, signature: u32) -> Vec<(u64, [u8; 512])> {
        let whole = |kind, (offset, size)| partition(kind, offset, size);
        let extended = partition(
            EXTENDED_LBA,
            self.extended(),
            self.image_size() - self.extended(),
        );
        let first = Mbr {
            signature,
            partitions: vec![
                whole(FAT32_LBA, self.selector()),
                whole(FAT32_LBA, self.boot(0)),
                whole(FAT32_LBA, self.boot(1)),
                extended,
            ],
        };
        let inner = [self.root(0), self.root(1), self.data()].map(|place| Logical {
            table: whole(LINUX, (place.0 - ALIGNMENT, 0)).first,
            partition: whole(LINUX, place),
        });
        let mut sectors = vec![(0, first.to_sector())];
        let tables = logical::tables(extended, &inner);
        sectors.extend(
            tables
                .into_iter()
                .map(|(at, sector)| (u64::from(at) * SECTOR, sector)),
        );
        sectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_in_order_and_tables_lead_to_them() {
        let layout = Ab::new(256 * MIB, 700 * MIB + 1);
        let mut disk = std::io::Cursor::new(vec![0; usize::try_from(layout.image_size()).unwrap()]);
        for (offset, sector) in layout.tables(7) {
            let at = usize::try_from(offset).unwrap();
            disk.get_mut()[at..at + 512].copy_from_slice(&sector);
        }
        let found = logical::numbered(&mut disk).unwrap();
        let places = [
            layout.selector(),
            layout.boot(0),
            layout.boot(1),
            layout.root(0),
            layout.root(1),
            layout.data(),
        ];
        assert_eq!(
            found.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [1, 2, 3, 5, 6, 7]
        );
        let mut end = agent_region::OFFSET + agent_region::LENGTH;
        for ((_, found), (offset, size)) in found.iter().zip(places) {
            assert_eq!(
                (
                    u64::from(found.first) * SECTOR,
                    u64::from(found.sectors) * SECTOR
                ),
                (offset, size)
            );
            assert!(offset >= end && offset % ALIGNMENT == 0);
            end = offset + size;
        }
        assert_eq!(end, layout.image_size());
    }
}
