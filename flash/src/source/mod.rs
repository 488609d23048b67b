//! An image, whatever it is compressed with. The kind is told by its first bytes, never by its name.

mod ahead;
mod frames;
mod xz;

use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;

use ahead::Ahead;
pub use ahead::FileDigest;
use frames::Frames;
use xz::Streams;

use crate::memory::Lent;

/// What an image is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz (The .xz File Format, 1.2).
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// Tells it by the first bytes.
    pub fn of(head: &[u8]) -> Result<Self, SourceError> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // What people take for images: archives that they must unpack first.
            [b'P', b'K', 3, 4, ..] => Err(SourceError::Archive("a zip archive")),
            [b'7', b'z', 0xbc, 0xaf, ..] => Err(SourceError::Archive("a 7z archive")),
            [b'B', b'Z', b'h', ..] => Err(SourceError::Archive("compressed by bzip2")),
            [] => Err(SourceError::Empty),
            _ => Ok(Self::None),
        }
    }
}

/// An image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file.
    #[error("cannot read the image")]
    Read(#[from] io::Error),
    /// Something else than an image.
    #[error("this is {0}, not an image: unpack it first")]
    Archive(&'static str),
    /// Nothing.
    #[error("the image is empty")]
    Empty,
}

/// An image that can be opened any number of times: who falls behind begins again.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    compression: Compression,
    /// Threads that unpack.
    threads: u32,
    stamp: Stamp,
    digest: Option<FileDigest>,
}

/// What tells a file from another one, and from itself after somebody wrote to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs_err::metadata(path)?;
        Ok(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Source {
    /// Looks at a file. From now on it must stay as it is.
    pub fn of_file(path: &Path, threads: u32) -> Result<Self, SourceError> {
        let mut head = Vec::new();
        let stamp = Stamp::of(path)?;
        File::open(path)?.take(8).read_to_end(&mut head)?;
        Ok(Self {
            path: path.to_owned(),
            compression: Compression::of(&head)?,
            threads,
            stamp,
            digest: None,
        })
    }

    /// The same, and the file is hashed while it is read for the first time.
    #[must_use]
    pub fn hashed_into(mut self, digest: FileDigest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Returns what it is compressed with.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns how long the file is.
    pub fn length(&self) -> u64 {
        self.stamp.size
    }

    /// Whether the file is still the one that was looked at, and nobody wrote to it since.
    pub fn is_unchanged(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|now| now == self.stamp)
    }

    /// The same, for who reads only a part of it.
    pub(crate) fn open_unhashed(&self) -> io::Result<Unpacked> {
        let mut source = self.clone();
        source.digest = None;
        source.open()
    }

    /// Opens it from its beginning, unpacked.
    pub fn open(&self) -> io::Result<Unpacked> {
        let file = File::open(&self.path)?;
        let threads = usize::try_from(self.threads).unwrap_or(1);
        if self.compression == Compression::Zstd && self.digest.is_none() {
            // It is read on a thread of its own already.
            return Ok(Unpacked(Kind::Frames(Frames::new(file, threads))));
        }
        let file = Ahead::new(file, self.digest.clone());
        let bytes: Box<dyn Read + Send> = match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => {
                let file = BufReader::with_capacity(1 << 18, file);
                Box::new(flate2::bufread::MultiGzDecoder::new(file))
            }
            Compression::Xz => Box::new(Streams::new(file, self.threads)?),
            Compression::Zstd => {
                return Ok(Unpacked(Kind::Frames(Frames::new(file, threads))));
            }
        };
        Ok(Unpacked(Kind::Bytes(bytes)))
    }
}

/// An image that is unpacked while it is read.
pub struct Unpacked(Kind);

enum Kind {
    Bytes(Box<dyn Read + Send>),
    Frames(Frames),
}

impl Unpacked {
    /// Returns the next whole blocks where they lie, up to a limit: memory, place and length. Nothing if they must
    /// be copied to be aligned.
    pub(crate) fn next_blocks(
        &mut self,
        limit: usize,
    ) -> io::Result<Option<(Arc<Lent>, usize, usize)>> {
        match &mut self.0 {
            Kind::Bytes(_) => Ok(None),
            Kind::Frames(frames) => frames.next_blocks(limit),
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Bytes(bytes) => bytes.read(buffer),
            Kind::Frames(frames) => frames.read(buffer),
        }
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacked")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use content_digest::Sha256Digest;

    use super::*;

    #[test]
    fn an_image_is_read_the_same_whatever_it_is_compressed_with() {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..300_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&image).unwrap();
        // Zstandard as the image builder writes it, one frame after the other; xz may have several streams, too.
        let (one, two) = image.split_at(500_000);
        let frames = [one, two].map(|part| zstd::encode_all(part, 1).unwrap());
        let streams = [one, two].map(|part| {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(part).unwrap();
            xz.finish().unwrap()
        });
        for (number, (bytes, compression)) in [
            (image.clone(), Compression::None),
            (gzip.finish().unwrap(), Compression::Gzip),
            (streams.join(&[0; 8][..]), Compression::Xz),
            (frames.concat(), Compression::Zstd),
        ]
        .into_iter()
        .enumerate()
        {
            // The name says something else.
            let path = folder.path().join(format!("{number}.zip"));
            fs_err::write(&path, &bytes).unwrap();
            let digest = FileDigest::default();
            let source = Source::of_file(&path, 2).unwrap();
            let source = source.hashed_into(std::sync::Arc::clone(&digest));
            assert_eq!(source.compression(), compression);
            let mut read = Vec::new();
            source.open().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == image, "{compression:?}");
            assert_eq!(digest.get(), Some(&Sha256Digest::of(&bytes)));
            assert!(source.is_unchanged());
            let mut file = fs_err::OpenOptions::new();
            let mut file = file.append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
            assert!(!source.is_unchanged());
        }
    }

    #[test]
    fn a_cut_file_is_an_error_and_no_short_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let noise: Vec<u8> = (0..200_000_u64)
            .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&noise).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(&noise).unwrap();
        let zstd = zstd::encode_all(&noise[..], 1).unwrap();
        for whole in [gzip.finish().unwrap(), xz.finish().unwrap(), zstd] {
            fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
            let source = Source::of_file(&path, 2).unwrap();
            let mut read = Vec::new();
            let outcome = source.open().unwrap().read_to_end(&mut read);
            assert!(outcome.is_err(), "{:?}", source.compression());
        }
    }

    #[test]
    fn archives_are_named() {
        let error = Compression::of(b"PK\x03\x04rest").unwrap_err();
        assert!(error.to_string().contains("zip"), "{error}");
        assert!(matches!(Compression::of(b""), Err(SourceError::Empty)));
    }
}
