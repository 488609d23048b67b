//! Files that prove something: films, logs, flash records. They lie under their digests, outside the
//! journal, which keeps digest and facts.

use std::io;
use std::path::{Path, PathBuf};

use content_digest::{HashingWriter, Sha256Digest};

use crate::journal::EvidenceFile;

/// Media types of what people film and log, by file extension (IANA media types).
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
    ("mkv", "video/matroska"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("csv", "text/csv"),
    ("xml", "application/xml"),
    ("pdf", "application/pdf"),
];

/// A folder of evidence.
#[derive(Debug, Clone)]
pub struct EvidenceStore {
    folder: PathBuf,
}

impl EvidenceStore {
    /// Uses a folder; it is made when the first file comes.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Copies a file in, hashing as it goes. It has its name only once it is whole.
    pub fn add(&self, file: &Path) -> io::Result<EvidenceFile> {
        fs_err::create_dir_all(&self.folder)?;
        let mut source = fs_err::File::open(file)?;
        let partial = tempfile::Builder::new()
            .prefix(".partial-")
            .tempfile_in(&self.folder)?;
        let mut writer = HashingWriter::new(partial);
        io::copy(&mut source, &mut writer)?;
        let (partial, sha256, size) = writer.finish();
        partial.as_file().sync_all()?;
        partial
            .persist(self.path(&sha256))
            .map_err(|error| error.error)?;
        fs_err::File::open(&self.folder)?.sync_all()?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(EvidenceFile {
            sha256,
            size,
            media_type: media_type(file).into(),
            name: name.into_owned(),
            seconds: None,
            serial: None,
        })
    }

    /// Takes a file that must have a digest, as it came from somebody else.
    pub fn receive(&self, file: &Path, expected: &Sha256Digest) -> io::Result<EvidenceFile> {
        let (found, _) = Sha256Digest::of_file(file)?;
        if found != *expected {
            let text = format!("evidence {expected} came with SHA-256 {found}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.add(file)
    }

    /// Returns where the file with a digest lies.
    pub fn path(&self, sha256: &Sha256Digest) -> PathBuf {
        self.folder.join(sha256.to_string())
    }

    /// Opens a file after hashing it again: a reviewer sees what was recorded, or an error.
    pub fn open(&self, sha256: &Sha256Digest) -> io::Result<fs_err::File> {
        let path = self.path(sha256);
        let (found, _) = Sha256Digest::of_file(&path)?;
        if found != *sha256 {
            let text = format!("{} was changed: its SHA-256 is {found}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        fs_err::File::open(path)
    }
}

fn media_type(file: &Path) -> &'static str {
    let extension = file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map_or("application/octet-stream", |(_, media_type)| media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_lies_under_its_digest_and_a_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("Film.MP4");
        fs_err::write(&film, b"film").unwrap();
        let store = EvidenceStore::new(&folder.path().join("evidence"));
        let file = store.add(&film).unwrap();
        assert_eq!((file.sha256, file.size), (Sha256Digest::of(b"film"), 4));
        assert_eq!(
            (file.name.as_str(), file.media_type.as_str()),
            ("Film.MP4", "video/mp4")
        );
        store.add(&film).unwrap();
        assert_eq!(
            fs_err::read_dir(folder.path().join("evidence"))
                .unwrap()
                .count(),
            1
        );
        store.open(&file.sha256).unwrap();
        fs_err::write(store.path(&file.sha256), b"fiLm").unwrap();
        assert!(
            store
                .open(&file.sha256)
                .unwrap_err()
                .to_string()
                .contains("was changed")
        );
    }
}
