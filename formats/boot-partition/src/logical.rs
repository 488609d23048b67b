//! Logical partitions: a chain of tables inside the extended partition. Linux numbers them from 5 in the
//! order of the chain (Linux: block/partitions/msdos.c, `parse_extended`).

use std::io::{self, Read, Seek, SeekFrom};

use crate::mbr::{Mbr, Partition, SECTOR};

/// Extended partition with LBA addressing.
pub const EXTENDED_LBA: u8 = 0x0f;
/// Number of the first logical partition.
pub const FIRST_NUMBER: u32 = 5;
/// Longest chain that is followed; Linux's own limit is higher, but no image has so many.
const LONGEST: usize = 16;

/// A partition that grows ends at a multiple of so many sectors, as partitioning programs align.
const GROWTH: u32 = 2048;

/// A logical partition with the sector of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logical {
    /// Sector of the table that names it.
    pub table: u32,
    /// The partition; `first` counts from the beginning of the disk.
    pub partition: Partition,
}

/// Whether a type byte marks an extended partition.
pub const fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

/// Returns the tables of the chain, each with its sector. The first one lies where the extended partition begins.
pub fn tables(extended: Partition, logical: &[Logical]) -> Vec<(u32, [u8; 512])> {
    let mut tables = Vec::new();
    for (index, this) in logical.iter().enumerate() {
        // The first entry counts from this table, the second from the extended partition's beginning.
        let mut partitions = vec![Partition {
            first: this.partition.first - this.table,
            ..this.partition
        }];
        if let Some(next) = logical.get(index + 1) {
            let end = next.partition.first + next.partition.sectors;
            partitions.push(Partition {
                kind: EXTENDED_LBA,
                first: next.table - extended.first,
                sectors: end - next.table,
            });
        }
        let table = Mbr {
            signature: 0,
            partitions,
        };
        tables.push((this.table, table.to_sector()));
    }
    tables
}

/// Reads the chain that begins with the extended partition. A chain that turns back or leaves the partition is an error:
/// it could be endless, or name sectors of others.
pub fn read<R: Read + Seek>(disk: &mut R, extended: Partition) -> io::Result<Vec<Logical>> {
    let bad = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the extended partition {what}"),
        )
    };
    let end = extended
        .first
        .checked_add(extended.sectors)
        .ok_or_else(|| bad("reaches past 2 TiB"))?;
    let mut found: Vec<Logical> = Vec::new();
    let mut table = extended.first;
    loop {
        let mut sector = [0; 512];
        disk.seek(SeekFrom::Start(u64::from(table) * SECTOR))?;
        disk.read_exact(&mut sector)?;
        let entries =
            Mbr::from_sector(&sector).map_err(|_malformed| bad("has a table that is none"))?;
        let mut next = None;
        for entry in entries.partitions {
            if is_extended(entry.kind) {
                next = extended.first.checked_add(entry.first);
                if next.is_none_or(|next| next <= table || next >= end) {
                    return Err(bad("has a chain of tables that turns back or leaves it"));
                }
                continue;
            }
            let first = table.checked_add(entry.first);
            let last = first.and_then(|first| first.checked_add(entry.sectors));
            let (Some(first), Some(last)) = (first, last) else {
                return Err(bad("has a partition that reaches past 2 TiB"));
            };
            if last > end || first <= table {
                return Err(bad("has a partition that is not inside of it"));
            }
            found.push(Logical {
                table,
                partition: Partition { first, ..entry },
            });
        }
        match next {
            Some(next) if found.len() < LONGEST => table = next,
            Some(_) => return Err(bad("has too many partitions")),
            None => return Ok(found),
        }
    }
}

/// Reads the first sector of a disk, and the table in it.
fn first_table<R: Read + Seek>(disk: &mut R) -> io::Result<([u8; 512], Mbr)> {
    let mut sector = [0; 512];
    disk.seek(SeekFrom::Start(0))?;
    disk.read_exact(&mut sector)?;
    let table = Mbr::from_sector(&sector);
    let table = table.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((sector, table))
}

/// Returns all partitions of a disk by the numbers that Linux gives them; the extended one is left out.
pub fn numbered<R: Read + Seek>(disk: &mut R) -> io::Result<Vec<(u32, Partition)>> {
    let (_, table) = first_table(disk)?;
    let mut all = Vec::new();
    for (number, partition) in (1..).zip(table.partitions) {
        if is_extended(partition.kind) {
            let logical = read(disk, partition)?;
            all.extend((FIRST_NUMBER..).zip(logical.iter().map(|logical| logical.partition)));
        } else {
            all.push((number, partition));
        }
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all)
}

/// Returns the sectors to write, in this order, so that the last logical partition of a disk with so many sectors reaches to its
/// end. None where it does already, or where the disk has no logical partitions.
pub fn grown<R: Read + Seek>(disk: &mut R, sectors: u64) -> io::Result<Vec<(u32, [u8; 512])>> {
    let (mut sector, mut table) = first_table(disk)?;
    let Some(extended) = table.partitions.iter_mut().find(|p| is_extended(p.kind)) else {
        return Ok(Vec::new());
    };
    let before = read(disk, *extended)?;
    let mut after = before.clone();
    let end = u32::try_from(sectors - sectors % u64::from(GROWTH))
        .unwrap_or(u32::MAX - u32::MAX % GROWTH);
    let Some(last) = after.last_mut() else {
        return Ok(Vec::new());
    };
    if last.partition.first + last.partition.sectors >= end
        || extended.first + extended.sectors > end
    {
        return Ok(Vec::new());
    }
    last.partition.sectors = end - last.partition.first;
    let old = tables(*extended, &before);
    extended.sectors = end - extended.first;
    let changed = tables(*extended, &after);
    // The code before the table, if there is any, stays.
    sector[446..].copy_from_slice(&table.to_sector()[446..]);
    let mut all = vec![(0, sector)];
    all.extend(
        changed
            .into_iter()
            .zip(old)
            .filter(|(new, old)| new != old)
            .map(|(new, _)| new),
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn disk(tables: &[(u32, [u8; 512])], sectors: usize) -> Cursor<Vec<u8>> {
        let mut bytes = vec![0; sectors * 512];
        for (at, sector) in tables {
            let at = *at as usize * 512;
            bytes[at..at + 512].copy_from_slice(sector);
        }
        Cursor::new(bytes)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(sizes in proptest::collection::vec((1_u32..20, 1_u32..40), 1..8)) {
            let mut at = 100;
            let mut logical = Vec::new();
            for (gap, sectors) in sizes {
                let partition = Partition { kind: 0x83, first: at + gap, sectors };
                logical.push(Logical { table: at, partition });
                at += gap + sectors;
            }
            let extended = Partition { kind: EXTENDED_LBA, first: 100, sectors: at - 100 };
            let mut disk = disk(&tables(extended, &logical), at as usize);
            prop_assert_eq!(read(&mut disk, extended).unwrap(), logical);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 512..4096), first in 0_u32..8, sectors: u32) {
            let mut bytes = bytes;
            for sector in bytes.chunks_exact_mut(512) {
                sector[510..].copy_from_slice(&[0x55, 0xaa]);
            }
            drop(read(&mut Cursor::new(bytes), Partition { kind: 5, first, sectors }));
        }
    }

    #[test]
    fn a_chain_that_turns_back_is_refused() {
        let extended = Partition {
            kind: EXTENDED_LBA,
            first: 10,
            sectors: 90,
        };
        let logical = Logical {
            table: 10,
            partition: Partition {
                kind: 0x83,
                first: 11,
                sectors: 5,
            },
        };
        let mut sector = tables(extended, &[logical])[0].1;
        // A second entry that leads to the same table.
        sector[462 + 4] = EXTENDED_LBA;
        let error = read(&mut disk(&[(10, sector)], 100), extended).unwrap_err();
        assert!(error.to_string().contains("turns back"), "{error}");
        sector[462 + 8] = 200;
        let error = read(&mut disk(&[(10, sector)], 100), extended).unwrap_err();
        assert!(error.to_string().contains("leaves"), "{error}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "sfdisk is the judge")]
    fn the_last_partition_grows_and_sfdisk_sees_the_same() {
        let (mib, end) = (2048_u32, 2048_u32 * 100 + 77);
        let part = |table, first, sectors| Logical {
            table,
            partition: Partition {
                kind: 0x83,
                first,
                sectors,
            },
        };
        let logical = [
            part(8 * mib, 9 * mib, 3 * mib),
            part(12 * mib, 13 * mib, 3 * mib),
            part(16 * mib, 17 * mib, mib),
        ];
        let first = Partition {
            kind: 0x0c,
            first: mib,
            sectors: 7 * mib,
        };
        let extended = Partition {
            kind: EXTENDED_LBA,
            first: 8 * mib,
            sectors: 10 * mib,
        };
        let table = Mbr {
            signature: 5,
            partitions: vec![first, extended],
        };
        let mut all = vec![(0, table.to_sector())];
        all.extend(tables(extended, &logical));
        let mut disk = disk(&all, end as usize);
        let changes = grown(&mut disk, u64::from(end)).unwrap();
        assert_eq!(
            changes.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [0, 12 * mib, 16 * mib]
        );
        // After each of them, all partitions are there and none reaches too far.
        for (at, sector) in changes {
            let at = at as usize * 512;
            disk.get_mut()[at..at + 512].copy_from_slice(&sector);
            assert_eq!(numbered(&mut disk).unwrap().len(), 4);
        }
        let found = numbered(&mut disk).unwrap();
        assert_eq!(found[3].1.first + found[3].1.sectors, 100 * mib);
        assert!(grown(&mut disk, u64::from(end)).unwrap().is_empty());
        let file = std::env::temp_dir().join(format!("grown-{}", std::process::id()));
        std::fs::File::create(&file)
            .and_then(|mut file| io::Write::write_all(&mut file, disk.get_ref()))
            .unwrap();
        let output = std::process::Command::new("sfdisk")
            .arg("--dump")
            .arg(&file)
            .output()
            .unwrap();
        std::fs::remove_file(&file).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for (number, partition) in found {
            let wanted = format!(
                "start={:>12}, size={:>12}, type={:x}",
                partition.first, partition.sectors, partition.kind
            );
            assert!(said.contains(&wanted), "{number}: {wanted}\n{said}");
        }
    }

    #[test]
    fn a_partition_outside_is_refused() {
        let extended = Partition {
            kind: EXTENDED_LBA,
            first: 10,
            sectors: 90,
        };
        let logical = Logical {
            table: 10,
            partition: Partition {
                kind: 0x83,
                first: 11,
                sectors: 500,
            },
        };
        let error = read(&mut disk(&tables(extended, &[logical]), 100), extended).unwrap_err();
        assert!(error.to_string().contains("not inside"), "{error}");
    }
}
