//! Settings of one device, put into the image on its way to the card. The image has a file for them
//! ([`device_settings::FILE`]); what is in it is replaced where it lies, so nothing else of the file system changes.
//! All of it is known before a disk is opened: only blocks of this file are written otherwise.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use boot_partition::fat;
use boot_partition::mbr::{Mbr, MbrError, SECTOR};
use device_settings::{DeviceSettings, FILE, SettingsError, padded};

use crate::memory::ALIGNMENT;
use crate::source::{Source, Unpacked};

/// Types of partitions that have a FAT file system (util-linux, "mbr.h" of libfdisk).
const FAT: &[u8] = &[0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e, 0xef];
/// The image is unpacked anew at most so often, to find the file: one that leads back and forth is damaged.
const REWINDS: u32 = 16;

const BLOCK: u64 = ALIGNMENT as u64;

/// The image takes no settings.
#[derive(Debug, thiserror::Error)]
pub enum NoSettings {
    /// It cannot be read.
    #[error("the image's boot partition cannot be read")]
    Read(#[from] io::Error),
    /// It has no partition table.
    #[error("the image has no partition table that is known")]
    Table(#[from] MbrError),
    /// It has no boot partition.
    #[error("the image has no boot partition with a FAT file system")]
    NoBoot,
    /// It has no place for them.
    #[error("this image takes no settings: there is no {FILE} on its boot partition")]
    NoFile,
    /// They do not fit.
    #[error("the settings do not fit: the image has room for {room} bytes")]
    Room {
        /// Bytes of the file.
        room: u64,
    },
    /// They are none that a device takes.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Where an image keeps settings.
#[derive(Debug)]
pub struct Place {
    extents: Vec<(u64, u64)>,
    /// The blocks that the file lies in, as the image has them.
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// Blocks of the image that one card has otherwise.
#[derive(Debug, Clone, Default)]
pub struct Patch(BTreeMap<u64, Vec<u8>>);

impl Patch {
    #[cfg(test)]
    pub(crate) fn of(blocks: BTreeMap<u64, Vec<u8>>) -> Self {
        Self(blocks)
    }

    /// Returns the blocks, by their places.
    pub(crate) fn blocks(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.0
    }
}

impl Place {
    /// Finds it.
    pub fn find(source: &Source) -> Result<Self, NoSettings> {
        let mut image = Rewound::new(source)?;
        let mut sector = [0; 512];
        image.read_exact(&mut sector)?;
        let table = Mbr::from_sector(&sector)?;
        let mut partitions = table.partitions.iter();
        let boot = partitions.find(|one| FAT.contains(&one.kind));
        let boot = boot.ok_or(NoSettings::NoBoot)?;
        let offset = u64::from(boot.first) * SECTOR;
        let length = u64::from(boot.sectors) * SECTOR;
        let found = fat::find(&mut image, offset, length, FILE)?;
        let extents = found.ok_or(NoSettings::NoFile)?;
        let mut blocks = BTreeMap::new();
        for (at, length) in &extents {
            let first = at / BLOCK * BLOCK;
            for block in (first..at + length).step_by(ALIGNMENT) {
                if let std::collections::btree_map::Entry::Vacant(entry) = blocks.entry(block) {
                    let mut bytes = vec![0; ALIGNMENT];
                    image.seek(SeekFrom::Start(block))?;
                    // The image may end within its last block.
                    crate::memory::fill(&mut image, &mut bytes)?;
                    entry.insert(bytes);
                }
            }
        }
        Ok(Self { extents, blocks })
    }

    /// Returns the blocks with these settings.
    pub fn patch(&self, settings: &DeviceSettings) -> Result<Patch, NoSettings> {
        let room: u64 = self.extents.iter().map(|(_, length)| length).sum();
        let size = usize::try_from(room).unwrap_or(usize::MAX);
        settings.check()?;
        let text = padded(&settings.to_text()?, size).ok_or(NoSettings::Room { room })?;
        let places = self
            .extents
            .iter()
            .flat_map(|(at, length)| *at..at + length);
        let mut blocks = self.blocks.clone();
        for (place, byte) in places.zip(text) {
            let block = blocks.get_mut(&(place / BLOCK * BLOCK));
            let at = usize::try_from(place % BLOCK).expect("within a block");
            block.expect("all blocks of the file were read")[at] = byte;
        }
        Ok(Patch(blocks))
    }
}

/// The image as something to seek in. Going back begins anew, so nothing of it is kept.
struct Rewound<'s> {
    source: &'s Source,
    unpacked: Unpacked,
    at: u64,
    left: u32,
}

impl<'s> Rewound<'s> {
    fn new(source: &'s Source) -> io::Result<Self> {
        Ok(Self {
            source,
            unpacked: source.open_unhashed()?,
            at: 0,
            left: REWINDS,
        })
    }
}

impl Read for Rewound<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.unpacked.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Rewound<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(to) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        if to < self.at {
            let left = self.left.checked_sub(1);
            let back_and_forth = || io::Error::other("its parts lie in no order");
            self.left = left.ok_or_else(back_and_forth)?;
            self.unpacked = self.source.open_unhashed()?;
            self.at = 0;
        }
        let way = to - self.at;
        let passed = io::copy(&mut self.unpacked.by_ref().take(way), &mut io::sink())?;
        self.at += passed;
        if passed < way {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use boot_partition::mbr::Partition;

    use super::*;

    const START: u64 = 1 << 20;

    /// An image with a boot partition, compressed.
    fn image(folder: &std::path::Path, files: &fat::Files) -> (Source, Vec<u8>) {
        let size = 64_u64 << 20;
        let mut disk = Cursor::new(vec![0; usize::try_from(START + size).unwrap()]);
        let volume = fat::Volume {
            label: "BOOT",
            id: 7,
            timestamp: 1_789_199_741,
        };
        fat::write(&mut disk, START, size, volume, files).unwrap();
        let mut bytes = disk.into_inner();
        let table = Mbr {
            signature: 1,
            partitions: vec![Partition {
                kind: 0x0c,
                first: u32::try_from(START / SECTOR).unwrap(),
                sectors: u32::try_from(size / SECTOR).unwrap(),
            }],
        };
        bytes[..512].copy_from_slice(&table.to_sector());
        let path = folder.join("image");
        fs_err::write(&path, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        (Source::of_file(&path, 2).unwrap(), bytes)
    }

    fn settings() -> DeviceSettings {
        DeviceSettings {
            host_name: Some("rack-7".parse().unwrap()),
            ..DeviceSettings::default()
        }
    }

    #[test]
    fn the_file_is_replaced_where_it_lies_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = fat::Files::new();
        files.insert("a".into(), vec![1; 3_000_001]);
        files.insert("settings.txt".into(), device_settings::example());
        files.insert("z".into(), vec![2; 1_000]);
        let (source, mut bytes) = image(folder.path(), &files);
        let patch = Place::find(&source).unwrap().patch(&settings()).unwrap();
        for (at, block) in patch.blocks() {
            let at = usize::try_from(*at).unwrap();
            bytes[at..at + block.len()].copy_from_slice(block);
        }
        let length = bytes.len() as u64 - START;
        let found = fat::read(&mut Cursor::new(&bytes), START, length).unwrap();
        let text = std::str::from_utf8(&found["settings.txt"]).unwrap();
        assert_eq!(DeviceSettings::read(text).unwrap(), settings());
        files.insert("settings.txt".into(), found["settings.txt"].clone());
        assert!(found == files, "another file changed");
    }

    #[test]
    fn images_without_a_place_and_settings_without_room_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (source, _) = image(folder.path(), &fat::Files::new());
        assert!(matches!(Place::find(&source), Err(NoSettings::NoFile)));
        let files = fat::Files::from([("settings.txt".to_owned(), vec![b'\n'; 20])]);
        let (source, _) = image(folder.path(), &files);
        let place = Place::find(&source).unwrap();
        assert!(matches!(
            place.patch(&settings()),
            Err(NoSettings::Room { room: 20 })
        ));
        let path = folder.path().join("plain");
        fs_err::write(&path, vec![0; 1 << 20]).unwrap();
        let plain = Source::of_file(&path, 1).unwrap();
        assert!(matches!(Place::find(&plain), Err(NoSettings::Table(_))));
    }
}
