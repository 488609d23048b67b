//! The boot files that a board asks for, from the folder that somebody named and from nowhere else.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::chip::Chip;

/// The archive that newer folders keep their files in (a plain tar).
const ARCHIVE: &str = "bootfiles.bin";
/// The largest file that is served: a `boot.img` may have 180 MiB.
const LARGEST: u64 = 512 << 20;

/// Files for boards.
#[derive(Debug)]
pub struct BootFiles {
    folder: PathBuf,
    archive: BTreeMap<String, Vec<u8>>,
}

/// The boot files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or the folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The second stage is missing.
    #[error("{} has no {name} for {chip}: take the folder of boot files for this board (such as mass-storage-gadget64 of raspberrypi/usbboot)", folder.display())]
    NoSecondStage {
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: &'static str,
        /// The chip.
        chip: Chip,
    },
}

impl BootFiles {
    /// Opens a folder.
    pub fn open(folder: &Path) -> Result<Self, FilesError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| FilesError::Read { path, source }
        };
        fs_err::read_dir(folder).map_err(read(folder))?;
        let path = folder.join(ARCHIVE);
        let archive = match fs_err::File::open(&path) {
            Ok(file) => unpack(file).map_err(read(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(FilesError::Read { path, source }),
        };
        let folder = folder.to_owned();
        Ok(Self { folder, archive })
    }

    /// Returns the second stage for a chip.
    pub(crate) fn second_stage(&self, chip: Chip, port: &str) -> Result<Vec<u8>, FilesError> {
        let name = chip.second_stage();
        let found = self.find(name, chip, port)?;
        found.ok_or_else(|| FilesError::NoSecondStage {
            folder: self.folder.clone(),
            name,
            chip,
        })
    }

    /// Finds a file: one for this port, one for this chip, one for all, then the archive's. Nothing if there is
    /// none, or if its name leads out of the folder.
    pub(crate) fn find(
        &self,
        name: &str,
        chip: Chip,
        port: &str,
    ) -> Result<Option<Vec<u8>>, FilesError> {
        let is_within = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !name.split('/').all(is_within) || name.contains('\0') {
            return Ok(None);
        }
        let folders = std::iter::once(port).filter(|port| is_within(port) && !port.contains('/'));
        let folders = folders.chain(chip.folders().iter().copied()).chain([""]);
        for folder in folders.clone() {
            let path = self.folder.join(folder).join(name);
            let metadata = match fs_err::metadata(&path) {
                Ok(metadata) if metadata.is_file() => metadata,
                _ => continue,
            };
            let read = |source| FilesError::Read {
                path: path.clone(),
                source,
            };
            if metadata.len() > LARGEST {
                return Err(read(io::ErrorKind::FileTooLarge.into()));
            }
            return fs_err::read(&path).map(Some).map_err(read);
        }
        let mut names = folders.map(|folder| match folder {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        });
        Ok(names.find_map(|name| self.archive.get(&name).cloned()))
    }
}

fn unpack(file: fs_err::File) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        entry.by_ref().take(LARGEST).read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    Ok(files)
}
