//! Reads a FAT file system that may come from anywhere. Every number in it is checked before it is
//! used; chains that go in circles, lengths that lead out of the partition and names without end are
//! errors, not loops.
//!
//! Layout: Microsoft, "FAT32 File System Specification" 1.03 (fatgen103).

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Folders of a boot partition are two deep; deeper ones are damage or malice.
const DEEPEST: u32 = 6;
/// Entries of one folder: the specification's own limit.
const MOST_ENTRIES: usize = 65_536;
/// Bytes of an entry.
const ENTRY: usize = 32;
/// A table of allocation larger than that of a 2 TiB file system is refused.
const LARGEST_TABLE: u64 = 64 << 20;
/// Below so many clusters it is FAT12 (fatgen103, "FAT Type Determination") …
const FAT12_BELOW: u32 = 4085;
/// … and below so many FAT16.
const FAT16_BELOW: u32 = 65_525;
/// UTF-16 units in one entry of a long name, and in the longest name.
const UNITS: usize = 13;
const LONGEST_NAME: usize = 255;

/// Windows NT's marks for names that are all small letters.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_FOLDER: u8 = 0x10;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;

/// Returns every file of the file system between `offset` and `offset + length`, by path.
pub fn read<R: Read + Seek>(
    disk: &mut R,
    offset: u64,
    length: u64,
) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut volume = Volume::open(disk, offset, length)?;
    let root = volume.root()?;
    let mut files = BTreeMap::new();
    volume.add_folder(&root, "", 0, &mut files)?;
    Ok(files)
}

/// Finds a file of the root folder. Returns where its bytes lie on the disk, in order: place and length.
pub fn find<R: Read + Seek>(
    disk: &mut R,
    offset: u64,
    length: u64,
    name: &str,
) -> io::Result<Option<Vec<(u64, u64)>>> {
    let mut volume = Volume::open(disk, offset, length)?;
    let root = volume.root()?;
    let mut files = named(&root).into_iter().filter(|entry| !entry.is_folder);
    let Some(file) = files.find(|entry| entry.name.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    let mut left = file.size;
    let mut extents: Vec<(u64, u64)> = Vec::new();
    for cluster in volume.clusters(file.first, file.size)? {
        let at = offset + volume.place(cluster);
        let count = left.min(volume.cluster_bytes);
        left -= count;
        match extents.last_mut() {
            Some((start, length)) if *start + *length == at => *length += count,
            _ => extents.push((at, count)),
        }
    }
    if left > 0 {
        return Err(damaged("a file is shorter than its entry says"));
    }
    Ok(Some(extents))
}

/// Returns how many bytes of the file system hold something, counted from its beginning: behind them all is free.
pub fn used<R: Read + Seek>(disk: &mut R, offset: u64, length: u64) -> io::Result<u64> {
    let volume = Volume::open(disk, offset, length)?;
    for cluster in (2..volume.clusters.saturating_add(2)).rev() {
        if volume.entry(cluster)? != 0 {
            return Ok(volume.place(cluster) + volume.cluster_bytes);
        }
    }
    Ok(volume.first_data)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

struct Volume<'d, R> {
    disk: &'d mut R,
    offset: u64,
    table: Vec<u8>,
    width: Width,
    clusters: u32,
    cluster_bytes: u64,
    first_data: u64,
    /// The root folder: a fixed place (FAT12 and 16), or its first cluster.
    root: Result<(u64, usize), u32>,
    /// Bytes that files may still take: no more than the partition has.
    room: u64,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the FAT file system is damaged: {what}"),
    )
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl<'d, R: Read + Seek> Volume<'d, R> {
    fn open(disk: &'d mut R, offset: u64, length: u64) -> io::Result<Self> {
        let mut boot = [0; 512];
        disk.seek(SeekFrom::Start(offset))?;
        disk.read_exact(&mut boot)?;
        if boot[510..] != [0x55, 0xaa] {
            return Err(damaged("55 AA is missing at the end of its first sector"));
        }
        let sector = u64::from(half(&boot, 11));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) || !boot[13].is_power_of_two() {
            return Err(damaged("sectors or clusters of an impossible size"));
        }
        let either = |short: usize, long: usize| match half(&boot, short) {
            0 => u64::from(word(&boot, long)),
            value => u64::from(value),
        };
        let (reserved, tables) = (u64::from(half(&boot, 14)), u64::from(boot[16]));
        let (total, table_sectors) = (either(19, 32), either(22, 36));
        let root_entries = usize::from(half(&boot, 17));
        let root_sectors = (root_entries as u64 * ENTRY as u64).div_ceil(sector);
        let first_data = reserved + tables * table_sectors + root_sectors;
        if reserved == 0 || tables == 0 || table_sectors == 0 || total <= first_data {
            return Err(damaged("its parts do not fit into it"));
        }
        if total * sector > length {
            return Err(damaged("it is larger than its partition"));
        }
        let clusters = u32::try_from((total - first_data) / u64::from(boot[13]))
            .map_err(|_too_many| damaged("too many clusters"))?;
        let width = match clusters {
            ..FAT12_BELOW => Width::Twelve,
            FAT12_BELOW..FAT16_BELOW => Width::Sixteen,
            _ => Width::ThirtyTwo,
        };
        let table_bytes = table_sectors * sector;
        if table_bytes > LARGEST_TABLE {
            return Err(damaged("its table is larger than any"));
        }
        let mut table = vec![0; usize::try_from(table_bytes).expect("at most 64 MiB")];
        disk.seek(SeekFrom::Start(offset + reserved * sector))?;
        disk.read_exact(&mut table)?;
        let root = if width == Width::ThirtyTwo {
            Err(word(&boot, 44))
        } else {
            Ok((
                (reserved + tables * table_sectors) * sector,
                root_entries * ENTRY,
            ))
        };
        Ok(Self {
            disk,
            offset,
            table,
            width,
            clusters,
            cluster_bytes: u64::from(boot[13]) * sector,
            first_data: first_data * sector,
            root,
            room: length,
        })
    }

    fn root(&mut self) -> io::Result<Vec<u8>> {
        match self.root {
            Ok((at, length)) => {
                let mut bytes = vec![0; length];
                self.disk.seek(SeekFrom::Start(self.offset + at))?;
                self.disk.read_exact(&mut bytes)?;
                Ok(bytes)
            }
            Err(first) => self.folder(first),
        }
    }

    /// Returns the table's entry for a cluster: the next one, or a mark.
    fn entry(&self, cluster: u32) -> io::Result<u32> {
        let at = |bytes: u64| usize::try_from(bytes).expect("within the table");
        let index = u64::from(cluster);
        let (start, count) = match self.width {
            Width::Twelve => (at(index + index / 2), 2),
            Width::Sixteen => (at(index * 2), 2),
            Width::ThirtyTwo => (at(index * 4), 4),
        };
        let bytes = self.table.get(start..start + count);
        let bytes = bytes.ok_or_else(|| damaged("its table is too short"))?;
        Ok(match self.width {
            Width::Twelve if cluster % 2 == 1 => u32::from(half(bytes, 0) >> 4),
            Width::Twelve => u32::from(half(bytes, 0) & 0xfff),
            Width::Sixteen => u32::from(half(bytes, 0)),
            // The upper four bits are reserved.
            Width::ThirtyTwo => word(bytes, 0) & 0x0fff_ffff,
        })
    }

    fn is_end(&self, entry: u32) -> bool {
        entry
            >= match self.width {
                Width::Twelve => 0xff8,
                Width::Sixteen => 0xfff8,
                Width::ThirtyTwo => 0x0fff_fff8,
            }
    }

    /// Returns where a cluster lies in the partition.
    fn place(&self, cluster: u32) -> u64 {
        self.first_data + u64::from(cluster - 2) * self.cluster_bytes
    }

    /// Returns the chain that begins with `first`, as far as so many bytes need.
    fn clusters(&self, first: u32, bytes: u64) -> io::Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut cluster = first;
        // Brent's way to see a circle: a mark that is moved on after 1, 2, 4, 8 … steps.
        let (mut mark, mut steps, mut room) = (0, 0, 1);
        while (chain.len() as u64) < bytes.div_ceil(self.cluster_bytes) {
            if cluster < 2 || cluster - 2 >= self.clusters {
                return Err(damaged("a chain leads out of it"));
            }
            if cluster == mark {
                return Err(damaged("a chain goes in circles"));
            }
            steps += 1;
            if steps == room {
                (mark, steps, room) = (cluster, 0, room * 2);
            }
            chain.push(cluster);
            cluster = self.entry(cluster)?;
            if self.is_end(cluster) {
                break;
            }
        }
        Ok(chain)
    }

    /// Reads the chain that begins with `first`, `most` bytes at most.
    fn chain(&mut self, first: u32, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for cluster in self.clusters(first, most)? {
            let at = self.offset + self.place(cluster);
            let count = self.cluster_bytes.min(most - bytes.len() as u64);
            self.disk.seek(SeekFrom::Start(at))?;
            let read = (&mut *self.disk).take(count).read_to_end(&mut bytes)?;
            if (read as u64) < count {
                return Err(damaged("it ends before a file does"));
            }
        }
        Ok(bytes)
    }

    fn folder(&mut self, first: u32) -> io::Result<Vec<u8>> {
        self.chain(first, (MOST_ENTRIES * ENTRY) as u64)
    }

    fn add_folder(
        &mut self,
        entries: &[u8],
        prefix: &str,
        depth: u32,
        files: &mut BTreeMap<String, Vec<u8>>,
    ) -> io::Result<()> {
        for entry in named(entries) {
            let path = format!("{prefix}{}", entry.name);
            if entry.is_folder {
                if depth >= DEEPEST {
                    return Err(damaged("folders lie too deep"));
                }
                let inner = self.folder(entry.first)?;
                self.take_room(inner.len() as u64)?;
                self.add_folder(&inner, &format!("{path}/"), depth + 1, files)?;
            } else {
                let bytes = self.file(entry.first, entry.size)?;
                files.insert(path, bytes);
            }
        }
        Ok(())
    }

    fn file(&mut self, first: u32, size: u64) -> io::Result<Vec<u8>> {
        self.take_room(size)?;
        let bytes = self.chain(first, size)?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(damaged("a file is shorter than its entry says"))
        }
    }

    /// Files and folders together cannot be larger than the partition: some share their clusters.
    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        let room = self.room.checked_sub(bytes);
        self.room = room.ok_or_else(|| damaged("its files are larger than its partition"))?;
        Ok(())
    }
}

/// A file or a folder, as its folder tells of it.
struct Entry {
    name: String,
    is_folder: bool,
    first: u32,
    size: u64,
}

/// Reads the entries of a folder, without those for itself and the one above.
fn named(entries: &[u8]) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut long = LongName::default();
    for entry in entries.chunks_exact(ENTRY) {
        match (entry[0], entry[11]) {
            (0, _) => break,
            (0xe5, _) => long = LongName::default(),
            (_, ATTRIBUTE_LONG_NAME) => long.add(entry),
            (_, attributes) if attributes & ATTRIBUTE_LABEL != 0 => long = LongName::default(),
            (_, attributes) => {
                let name = std::mem::take(&mut long)
                    .finish(entry)
                    .unwrap_or_else(|| short_name(entry));
                if name != "." && name != ".." {
                    all.push(Entry {
                        name,
                        is_folder: attributes & ATTRIBUTE_FOLDER != 0,
                        first: u32::from(half(entry, 20)) << 16 | u32::from(half(entry, 26)),
                        size: u64::from(word(entry, 28)),
                    });
                }
            }
        }
    }
    all
}

/// A long name in the making: entries before the file's own, the last part first.
#[derive(Debug, Default)]
struct LongName {
    parts: Vec<[u16; UNITS]>,
    /// The number that the next part must have.
    next: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, entry: &[u8]) {
        let (number, is_last) = (entry[0] & 0x3f, entry[0] & 0x40 != 0);
        if is_last {
            *self = Self {
                parts: Vec::new(),
                next: number,
                checksum: entry[13],
            };
        }
        if number == 0 || number != self.next || entry[13] != self.checksum {
            *self = Self::default();
            return;
        }
        let mut units = [0; UNITS];
        let places = (1..11)
            .step_by(2)
            .chain((14..26).step_by(2))
            .chain([28, 30]);
        for (unit, at) in units.iter_mut().zip(places) {
            *unit = half(entry, at);
        }
        self.parts.push(units);
        self.next = number - 1;
    }

    /// Returns the name, if it is whole and belongs to this entry.
    fn finish(self, entry: &[u8]) -> Option<String> {
        let sum = entry[..11]
            .iter()
            .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.parts.is_empty() || self.next != 0 || sum != self.checksum {
            return None;
        }
        let units = self.parts.iter().rev().flatten().copied();
        let units: Vec<u16> = units
            .take_while(|unit| *unit != 0)
            .take(LONGEST_NAME)
            .collect();
        let name = String::from_utf16(&units).ok()?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }
}

/// Returns the name in the entry itself: eight characters, a dot and three.
fn short_name(entry: &[u8]) -> String {
    let text = |bytes: &[u8], is_lower: bool| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end().replace('/', "_");
        if is_lower {
            text.to_ascii_lowercase()
        } else {
            text
        }
    };
    let base = text(&entry[..8], entry[12] & LOWER_BASE != 0);
    let extension = text(&entry[8..11], entry[12] & LOWER_EXTENSION != 0);
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}
