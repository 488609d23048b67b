//! An image, whatever it is compressed with. The kind is told by its first bytes, never by its name.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err::File;

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
}

impl Source {
    /// Looks at a file.
    pub fn of_file(path: &Path, threads: u32) -> Result<Self, SourceError> {
        let mut head = Vec::new();
        File::open(path)?.take(8).read_to_end(&mut head)?;
        Ok(Self {
            path: path.to_owned(),
            compression: Compression::of(&head)?,
            threads,
        })
    }

    /// Returns what it is compressed with.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the image's size where that is known without unpacking.
    pub fn size(&self) -> io::Result<Option<u64>> {
        Ok(match self.compression {
            Compression::None => Some(fs_err::metadata(&self.path)?.len()),
            Compression::Gzip | Compression::Xz | Compression::Zstd => None,
        })
    }

    /// Opens it from its beginning, unpacked.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(&self.path)?;
        Ok(match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => {
                let file = BufReader::with_capacity(1 << 20, file);
                Box::new(flate2::bufread::MultiGzDecoder::new(file))
            }
            Compression::Xz => {
                let decoder = liblzma::stream::MtStreamBuilder::new()
                    .threads(self.threads)
                    .memlimit_threading(1 << 30)
                    .memlimit_stop(u64::MAX)
                    .decoder()?;
                let file = BufReader::with_capacity(1 << 20, file);
                Box::new(liblzma::bufread::XzDecoder::new_stream(file, decoder))
            }
            Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_image_is_read_the_same_whatever_it_is_compressed_with() {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..300_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&image).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&image).unwrap();
        // Zstandard as the image builder writes it: one frame after the other.
        let (one, two) = image.split_at(500_000);
        let frames = [one, two].map(|part| zstd::encode_all(part, 1).unwrap());
        for (number, (bytes, compression)) in [
            (image.clone(), Compression::None),
            (gzip.finish().unwrap(), Compression::Gzip),
            (xz.finish().unwrap(), Compression::Xz),
            (frames.concat(), Compression::Zstd),
        ]
        .into_iter()
        .enumerate()
        {
            // The name says something else.
            let path = folder.path().join(format!("{number}.zip"));
            fs_err::write(&path, bytes).unwrap();
            let source = Source::of_file(&path, 2).unwrap();
            assert_eq!(source.compression(), compression);
            let mut read = Vec::new();
            source.open().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == image, "{compression:?}");
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
