//! Writes a FAT32 file system with given files: the same files give the same bytes. Reads any FAT.
//!
//! Microsoft, "FAT: General Overview of On-Disk Format" 1.03. Files are contiguous and lie in the
//! order of their names; long names are written as VFAT entries.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek, SeekFrom, Write};

pub use read::{find, read, used};

const SECTOR: u64 = 512;
const RESERVED_SECTORS: u32 = 32;
const FAT_COPIES: u32 = 2;
/// With fewer clusters a file system is FAT16 by definition.
const FEWEST_CLUSTERS: u32 = 65_525;
const END_OF_CHAIN: u32 = 0x0fff_ffff;

/// A file system could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// Writing failed.
    #[error("cannot write the boot partition")]
    Io(#[from] io::Error),
    /// The files do not fit.
    #[error(
        "the boot files need {needed} bytes, but the boot partition holds {room}: raise image.boot-mib"
    )]
    Full {
        /// Bytes needed, in whole clusters.
        needed: u64,
        /// Bytes there are.
        room: u64,
    },
    /// FAT cannot hold such a name.
    #[error("“{name}” cannot be a file name on the boot partition")]
    Name {
        /// The name.
        name: String,
    },
    /// The partition is too small or too large for FAT32.
    #[error("a FAT32 boot partition cannot have {size} bytes")]
    Size {
        /// Size in bytes.
        size: u64,
    },
}

type ShortName = [u8; 11];

/// Files to write, by path with `/` between folders.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the file system is called.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// Label, up to 11 characters.
    pub label: &'a str,
    /// Volume id.
    pub id: u32,
    /// Time of every entry, in seconds since 1970.
    pub timestamp: i64,
}

#[derive(Default)]
struct Folder<'f> {
    folders: BTreeMap<&'f str, Self>,
    files: BTreeMap<&'f str, &'f [u8]>,
}

struct Writer<'w, W> {
    disk: &'w mut W,
    offset: u64,
    cluster_bytes: u64,
    first_data_sector: u64,
    clusters: u32,
    table: Vec<u32>,
    time: (u16, u16),
}

/// Writes the file system at `offset`. Returns the used ranges of bytes, relative to the partition.
pub fn write<W: Write + Seek>(
    disk: &mut W,
    offset: u64,
    size: u64,
    volume: Volume<'_>,
    files: &Files,
) -> Result<Vec<(u64, u64)>, FatError> {
    let sectors = u32::try_from(size / SECTOR).map_err(|_malformed| FatError::Size { size })?;
    let (per_cluster, table_sectors, clusters) =
        geometry(sectors).ok_or(FatError::Size { size })?;
    let first_data_sector = u64::from(RESERVED_SECTORS + FAT_COPIES * table_sectors);
    let mut writer = Writer {
        disk,
        offset,
        cluster_bytes: u64::from(per_cluster) * SECTOR,
        first_data_sector,
        clusters,
        table: vec![0x0fff_fff8, END_OF_CHAIN],
        time: dos_time(volume.timestamp),
    };
    let needed: u64 = files
        .values()
        .map(|bytes| (bytes.len() as u64).next_multiple_of(writer.cluster_bytes))
        .sum();
    let room = u64::from(clusters) * writer.cluster_bytes;
    // Folders need a little too; the exact check follows when clusters are given out.
    if needed > room {
        return Err(FatError::Full { needed, room });
    }
    let mut root = Folder::default();
    for (path, bytes) in files {
        let mut folder = &mut root;
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            folder = folder.folders.entry(part).or_default();
        }
        folder.files.insert(name, bytes);
    }
    writer.folder(&root, 0, Some(volume.label), true)?;
    let used_clusters = u32::try_from(writer.table.len()).expect("checked while giving out") - 2;
    writer.finish(volume, sectors, per_cluster, table_sectors, used_clusters)?;
    Ok(vec![(
        0,
        first_data_sector * SECTOR + u64::from(used_clusters) * writer.cluster_bytes,
    )])
}

/// Returns sectors a cluster, sectors a table, and clusters: the largest clusters that still make
/// the file system FAT32.
fn geometry(sectors: u32) -> Option<(u32, u32, u32)> {
    [64, 32, 16, 8, 4, 2, 1]
        .into_iter()
        .find_map(|per_cluster| {
            let mut table_sectors = 1;
            loop {
                let data = sectors.checked_sub(RESERVED_SECTORS + FAT_COPIES * table_sectors)?;
                let clusters = data / per_cluster;
                let needed = (clusters + 2).div_ceil(128);
                if needed <= table_sectors {
                    // Some room above the limit: tools disagree near it.
                    return (clusters > FEWEST_CLUSTERS + 16).then_some((
                        per_cluster,
                        table_sectors,
                        clusters,
                    ));
                }
                table_sectors = needed;
            }
        })
}

impl<W: Write + Seek> Writer<'_, W> {
    /// Gives out a chain of clusters for `length` bytes and returns the first.
    fn allocate(&mut self, length: u64) -> Result<u32, FatError> {
        let count = u32::try_from(length.div_ceil(self.cluster_bytes)).unwrap_or(u32::MAX);
        let first = u32::try_from(self.table.len()).expect("tables are small");
        if u64::from(first) + u64::from(count) > u64::from(self.clusters) + 2 {
            let room = u64::from(self.clusters) * self.cluster_bytes;
            return Err(FatError::Full {
                needed: (u64::from(first) + u64::from(count)) * self.cluster_bytes,
                room,
            });
        }
        for number in 0..count {
            self.table.push(if number + 1 == count {
                END_OF_CHAIN
            } else {
                first + number + 1
            });
        }
        Ok(first)
    }

    fn put(&mut self, cluster: u32, bytes: &[u8]) -> Result<(), FatError> {
        let at = self.first_data_sector * SECTOR + u64::from(cluster - 2) * self.cluster_bytes;
        self.disk.seek(SeekFrom::Start(self.offset + at))?;
        self.disk.write_all(bytes)?;
        let rest = bytes.len() as u64 % self.cluster_bytes;
        if rest > 0 {
            let padding = usize::try_from(self.cluster_bytes - rest).expect("clusters are small");
            self.disk.write_all(&vec![0; padding])?;
        }
        Ok(())
    }

    /// Writes a folder with all below it and returns its first cluster.
    fn folder(
        &mut self,
        folder: &Folder<'_>,
        parent: u32,
        label: Option<&str>,
        is_root: bool,
    ) -> Result<u32, FatError> {
        let mut names = ShortNames::default();
        let mut count = if is_root { 1 } else { 2 };
        let all: Vec<(&str, ShortName, Vec<[u8; 32]>)> = folder
            .folders
            .keys()
            .chain(folder.files.keys())
            .map(|name| {
                let (short, long) = names.entries(name)?;
                count += 1 + long.len();
                Ok((*name, short, long))
            })
            .collect::<Result<_, FatError>>()?;
        let own = self.allocate((count as u64 * 32).max(1))?;
        let mut bytes = Vec::with_capacity(count * 32);
        if let Some(label) = label {
            let mut short = [b' '; 11];
            for (slot, byte) in short.iter_mut().zip(label.bytes()) {
                *slot = byte;
            }
            bytes.extend(self.entry(&short, 0x08, 0, 0));
        }
        if !is_root {
            bytes.extend(self.entry(b".          ", 0x10, own, 0));
            bytes.extend(self.entry(b"..         ", 0x10, parent, 0));
        }
        for (name, short, long) in all {
            bytes.extend(long.concat());
            if let Some(inner) = folder.folders.get(name) {
                let cluster = self.folder(inner, if is_root { 0 } else { own }, None, false)?;
                bytes.extend(self.entry(&short, 0x10, cluster, 0));
            } else {
                let contents = folder.files[name];
                let length =
                    u32::try_from(contents.len()).map_err(|_malformed| FatError::Size {
                        size: contents.len() as u64,
                    })?;
                let cluster = if contents.is_empty() {
                    0
                } else {
                    self.allocate(contents.len() as u64)?
                };
                if cluster != 0 {
                    self.put(cluster, contents)?;
                }
                bytes.extend(self.entry(&short, 0x20, cluster, length));
            }
        }
        self.put(own, &bytes)?;
        Ok(own)
    }

    fn entry(&self, short: &[u8; 11], attributes: u8, cluster: u32, length: u32) -> [u8; 32] {
        let mut entry = [0; 32];
        let (date, time) = self.time;
        entry[..11].copy_from_slice(short);
        entry[11] = attributes;
        for (at, value) in [(14, time), (16, date), (18, date), (22, time), (24, date)] {
            entry[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        let cluster = cluster.to_le_bytes();
        entry[20..22].copy_from_slice(&cluster[2..]);
        entry[26..28].copy_from_slice(&cluster[..2]);
        entry[28..32].copy_from_slice(&length.to_le_bytes());
        entry
    }

    fn finish(
        &mut self,
        volume: Volume<'_>,
        sectors: u32,
        per_cluster: u32,
        table_sectors: u32,
        used: u32,
    ) -> Result<(), FatError> {
        let mut boot = [0; 512];
        boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
        boot[3..11].copy_from_slice(b"bakelite");
        boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
        boot[13] = u8::try_from(per_cluster).expect("at most 64");
        boot[14..16].copy_from_slice(&u16::try_from(RESERVED_SECTORS).expect("32").to_le_bytes());
        boot[16] = 2;
        boot[21] = 0xf8;
        boot[24..26].copy_from_slice(&63_u16.to_le_bytes());
        boot[26..28].copy_from_slice(&255_u16.to_le_bytes());
        boot[28..32].copy_from_slice(
            &u32::try_from(self.offset / SECTOR)
                .unwrap_or(0)
                .to_le_bytes(),
        );
        boot[32..36].copy_from_slice(&sectors.to_le_bytes());
        boot[36..40].copy_from_slice(&table_sectors.to_le_bytes());
        boot[44..48].copy_from_slice(&2_u32.to_le_bytes());
        boot[48..50].copy_from_slice(&1_u16.to_le_bytes());
        boot[50..52].copy_from_slice(&6_u16.to_le_bytes());
        boot[64] = 0x80;
        boot[66] = 0x29;
        boot[67..71].copy_from_slice(&volume.id.to_le_bytes());
        boot[71..82].copy_from_slice(
            format!("{:<11}", volume.label)
                .as_bytes()
                .get(..11)
                .unwrap_or(b"NO NAME    "),
        );
        boot[82..90].copy_from_slice(b"FAT32   ");
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut info = [0; 512];
        info[..4].copy_from_slice(&0x4161_5252_u32.to_le_bytes());
        info[484..488].copy_from_slice(&0x6141_7272_u32.to_le_bytes());
        info[488..492].copy_from_slice(&(self.clusters - used).to_le_bytes());
        info[492..496].copy_from_slice(&(used + 1).to_le_bytes());
        info[508..].copy_from_slice(&0xaa55_0000_u32.to_le_bytes());
        for (sector, bytes) in [(0, &boot), (1, &info), (6, &boot), (7, &info)] {
            self.disk
                .seek(SeekFrom::Start(self.offset + sector * SECTOR))?;
            self.disk.write_all(bytes)?;
        }
        let table: Vec<u8> = self
            .table
            .iter()
            .flat_map(|entry| entry.to_le_bytes())
            .collect();
        for copy in 0..FAT_COPIES {
            let at = u64::from(RESERVED_SECTORS + copy * table_sectors) * SECTOR;
            self.disk.seek(SeekFrom::Start(self.offset + at))?;
            self.disk.write_all(&table)?;
        }
        Ok(())
    }
}

/// Short names of one folder, each used once.
#[derive(Default)]
struct ShortNames(BTreeSet<[u8; 11]>);

impl ShortNames {
    /// Returns the short name and the VFAT entries that come before it.
    fn entries(&mut self, name: &str) -> Result<([u8; 11], Vec<[u8; 32]>), FatError> {
        let bad = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
        let units: Vec<u16> = name.encode_utf16().collect();
        if name.is_empty() || name.contains(bad) || name.ends_with(['.', ' ']) || units.len() > 255
        {
            return Err(FatError::Name {
                name: name.to_owned(),
            });
        }
        let short = self.short(name);
        if as_text(&short) == name {
            return Ok((short, Vec::new()));
        }
        let sum = short
            .iter()
            .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let mut padded = units;
        if !padded.len().is_multiple_of(13) {
            padded.push(0);
            padded.resize(padded.len().next_multiple_of(13), 0xffff);
        }
        let parts: Vec<&[u16]> = padded.chunks(13).collect();
        let mut entries = Vec::new();
        for (index, part) in parts.iter().enumerate().rev() {
            let mut entry = [0; 32];
            let last = if index + 1 == parts.len() { 0x40 } else { 0 };
            entry[0] = u8::try_from(index + 1).expect("at most 20 parts") | last;
            entry[11] = 0x0f;
            entry[13] = sum;
            let places = (1..11)
                .step_by(2)
                .chain((14..26).step_by(2))
                .chain((28..32).step_by(2));
            for (place, unit) in places.zip(part.iter()) {
                entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            entries.push(entry);
        }
        Ok((short, entries))
    }

    fn short(&mut self, name: &str) -> [u8; 11] {
        let upper = name.to_ascii_uppercase();
        let (stem, extension) = upper.rsplit_once('.').unwrap_or((upper.as_str(), ""));
        let plain = |text: &str| -> Vec<u8> {
            let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_-!#$%&'()@^`{}~".contains(b);
            text.bytes()
                .filter(|b| !b" .".contains(b))
                .map(|b| if allowed(&b) { b } else { b'_' })
                .collect()
        };
        let (stem_bytes, extension) = (plain(stem), plain(extension));
        let whole = stem_bytes.len() <= 8 && extension.len() <= 3 && stem_bytes == stem.as_bytes();
        for number in 0_u32.. {
            if number == 0 && !whole {
                continue;
            }
            let tail = if number == 0 {
                String::new()
            } else {
                format!("~{number}")
            };
            let mut short = [b' '; 11];
            let keep = stem_bytes.len().min(8 - tail.len());
            short[..keep].copy_from_slice(&stem_bytes[..keep]);
            short[keep..keep + tail.len()].copy_from_slice(tail.as_bytes());
            let length = extension.len().min(3);
            short[8..8 + length].copy_from_slice(&extension[..length]);
            if self.0.insert(short) {
                return short;
            }
        }
        unreachable!("a folder has fewer files than there are numbers")
    }
}

fn as_text(short: &[u8; 11]) -> String {
    let part = |range: std::ops::Range<usize>| {
        String::from_utf8_lossy(&short[range]).trim_end().to_owned()
    };
    let (stem, extension) = (part(0..8), part(8..11));
    if extension.is_empty() {
        stem
    } else {
        format!("{stem}.{extension}")
    }
}

/// Returns DOS date and time, in UTC, with two-second steps.
fn dos_time(timestamp: i64) -> (u16, u16) {
    let Ok(time) = jiff::Timestamp::from_second(timestamp) else {
        return (0x21, 0);
    };
    let civil = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let number = |value: i8| u16::try_from(value).unwrap_or(0);
    let year = u16::try_from(civil.year() - 1980).unwrap_or(0).min(127);
    let date = year << 9 | number(civil.month()) << 5 | number(civil.day());
    let time =
        number(civil.hour()) << 11 | number(civil.minute()) << 5 | (number(civil.second()) / 2);
    (date, time)
}

#[cfg(test)]
mod tests;
