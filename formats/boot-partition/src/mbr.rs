//! The master boot record: the only partition table that every Raspberry Pi's ROM reads.

/// Bytes in a sector, for the table and for the file systems.
pub const SECTOR: u64 = 512;
/// FAT32 with LBA addressing: the type that every boot ROM takes.
pub const FAT32_LBA: u8 = 0x0c;
/// Any Linux file system.
pub const LINUX: u8 = 0x83;

/// One primary partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Type byte.
    pub kind: u8,
    /// First sector.
    pub first: u32,
    /// Number of sectors.
    pub sectors: u32,
}

/// A partition table with its disk signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mbr {
    /// Disk signature: partitions are found by it (`PARTUUID=<signature>-<number>`).
    pub signature: u32,
    /// Up to four partitions.
    pub partitions: Vec<Partition>,
}

/// The sector is not a usable partition table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MbrError {
    /// The signature `55 AA` is missing.
    #[error("the first sector is no master boot record: 55 AA is missing at its end")]
    NoSignature,
    /// The table only protects a GPT.
    #[error("the disk has a GPT: the boot ROM of Pi 3 and Zero 2 W cannot read it")]
    Gpt,
}

impl Mbr {
    /// Writes the table as a sector.
    pub fn to_sector(&self) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[440..444].copy_from_slice(&self.signature.to_le_bytes());
        for (index, partition) in self.partitions.iter().take(4).enumerate() {
            let entry = &mut sector[446 + index * 16..462 + index * 16];
            // Addresses beyond cylinder 1023 are written as the largest one; LBA counts.
            entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
            entry[4] = partition.kind;
            entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
            entry[8..12].copy_from_slice(&partition.first.to_le_bytes());
            entry[12..16].copy_from_slice(&partition.sectors.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    /// Reads the table from a sector.
    pub fn from_sector(sector: &[u8; 512]) -> Result<Self, MbrError> {
        if sector[510..] != [0x55, 0xaa] {
            return Err(MbrError::NoSignature);
        }
        let number =
            |at: usize| u32::from_le_bytes(sector[at..at + 4].try_into().expect("four bytes"));
        let partitions: Vec<Partition> = (0..4)
            .map(|index| 446 + index * 16)
            .map(|at| Partition {
                kind: sector[at + 4],
                first: number(at + 8),
                sectors: number(at + 12),
            })
            .filter(|partition| partition.kind != 0)
            .collect();
        if partitions.iter().any(|partition| partition.kind == 0xee) {
            return Err(MbrError::Gpt);
        }
        Ok(Self {
            signature: number(440),
            partitions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(signature: u32, parts in proptest::collection::vec((1u8..0xee, any::<u32>(), any::<u32>()), 0..=4)) {
            let partitions = parts.into_iter().map(|(kind, first, sectors)| Partition { kind, first, sectors }).collect();
            let table = Mbr { signature, partitions };
            prop_assert_eq!(Mbr::from_sector(&table.to_sector()).unwrap(), table);
        }
    }

    #[test]
    fn a_gpt_is_refused() {
        let table = Mbr {
            signature: 1,
            partitions: vec![Partition {
                kind: 0xee,
                first: 1,
                sectors: 9,
            }],
        };
        assert_eq!(Mbr::from_sector(&table.to_sector()), Err(MbrError::Gpt));
        assert_eq!(Mbr::from_sector(&[0; 512]), Err(MbrError::NoSignature));
    }
}
