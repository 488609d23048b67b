//! Makes a bundle. The same images and the same facts give the same bytes.

use std::io::{self, Read, Seek, SeekFrom, Write};

use content_digest::{HashingReader, Sha256Digest};

use crate::head::{HEAD_LENGTH, Head};
use crate::manifest::{FORMAT, ImageEntry, Kind, Manifest, Verity};
use crate::segment::{self, SEGMENT, Segment};
use crate::{MOST_MANIFEST, MOST_TABLES, MOST_TRUST};

/// A bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading or writing failed.
    #[error("cannot write the update bundle")]
    Io(#[from] io::Error),
    /// A part is too long for any device.
    #[error("the bundle's {part} has {length} bytes, and devices read at most {most}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        most: u32,
    },
}

/// What a bundle is, but for its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Name of the product.
    pub product: String,
    /// Version.
    pub version: String,
    /// Time of the newest part, in seconds since 1970.
    pub created: u64,
    /// Rollback index.
    pub rollback_index: u32,
    /// Boards, as device trees name them.
    pub boards: Vec<String>,
    /// Signature of the disk.
    pub disk: u32,
    /// What is new.
    pub notes: Option<String>,
}

/// An image in segments; its stored bytes went to the writer's file.
#[derive(Debug, Clone)]
pub struct Packed {
    entry: ImageEntry,
    segments: Vec<Segment>,
}

/// Packs images one after the other into a file for segments, and puts the bundle together in the end.
#[derive(Debug)]
pub struct Writer<F> {
    stored: F,
    length: u64,
    images: Vec<Packed>,
}

impl<F: Read + Write + Seek> Writer<F> {
    /// Begins; `stored` is an empty file for the segments.
    pub const fn new(stored: F) -> Self {
        Self {
            stored,
            length: 0,
            images: Vec::new(),
        }
    }

    /// Packs an image of `length` bytes. `pack` compresses a segment into a frame of Zstandard whose window is no longer than a
    /// segment. The root image comes first, then the boot image.
    pub fn image(
        &mut self,
        kind: Kind,
        (length, room): (u64, u64),
        verity: Option<Verity>,
        image: &mut impl Read,
        mut pack: impl FnMut(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<(), WriteError> {
        let mut image = HashingReader::new(image);
        let mut segments = Vec::new();
        let (mut place, mut bytes) = (0, Vec::new());
        while place < length {
            bytes.clear();
            let count = (length - place).min(u64::from(SEGMENT));
            image.by_ref().take(count).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != count {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let packed = if bytes.iter().all(|byte| *byte == 0) {
                Vec::new()
            } else {
                pack(&bytes)?
            };
            let is_zeros = packed.is_empty();
            let stored = if !is_zeros && packed.len() >= bytes.len() {
                &bytes
            } else {
                &packed
            };
            self.stored.write_all(stored)?;
            segments.push(Segment {
                place,
                length: u32::try_from(count).expect("at most a segment"),
                id: Sha256Digest::of(&bytes),
                offset: self.length,
                stored: u32::try_from(stored.len()).expect("at most a segment"),
            });
            self.length += stored.len() as u64;
            place += count;
        }
        let entry = ImageEntry {
            kind,
            length,
            room,
            sha256: image.finish(),
            verity,
        };
        self.images.push(Packed { entry, segments });
        Ok(())
    }

    /// Writes the bundle. `vouch` makes the trust section for the manifest's bytes; it may be empty.
    pub fn finish(
        mut self,
        draft: Draft,
        bundle: &mut impl Write,
        vouch: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<Manifest, WriteError> {
        let tables = segment::to_tables(self.images.iter().flat_map(|image| &image.segments));
        let manifest = Manifest {
            format: FORMAT,
            product: draft.product,
            version: draft.version,
            created: draft.created,
            rollback_index: draft.rollback_index,
            boards: draft.boards,
            disk: format!("{:08x}", draft.disk),
            images: self.images.into_iter().map(|image| image.entry).collect(),
            tables: Sha256Digest::of(&tables),
            notes: draft.notes,
        };
        let text = manifest.to_json();
        let trust = vouch(&text)?;
        let head = Head {
            trust: fitting("trust section", &trust, MOST_TRUST)?,
            manifest: fitting("manifest", &text, MOST_MANIFEST)?,
            tables: fitting("tables", &tables, MOST_TABLES)?,
            segments: self.length,
        };
        for part in [&head.to_bytes()[..], &trust, &text, &tables] {
            bundle.write_all(part)?;
        }
        self.stored.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.stored, bundle)?;
        Ok(manifest)
    }
}

/// Copies a bundle with another trust section. Its name, the manifest's digest, stays.
pub fn with_trust(
    bundle: &mut (impl Read + Seek),
    trust: &[u8],
    copy: &mut impl Write,
) -> Result<(), WriteError> {
    let mut head = [0; HEAD_LENGTH];
    bundle.seek(SeekFrom::Start(0))?;
    bundle.read_exact(&mut head)?;
    let head = Head::from_bytes(&head).map_err(io::Error::other)?;
    let before = HEAD_LENGTH as u64 + u64::from(head.trust);
    let head = Head {
        trust: fitting("trust section", trust, MOST_TRUST)?,
        ..head
    };
    copy.write_all(&head.to_bytes())?;
    copy.write_all(trust)?;
    bundle.seek(SeekFrom::Start(before))?;
    io::copy(bundle, copy)?;
    Ok(())
}

fn fitting(part: &'static str, bytes: &[u8], most: u32) -> Result<u32, WriteError> {
    match u32::try_from(bytes.len()) {
        Ok(length) if length <= most => Ok(length),
        _ => Err(WriteError::TooLong {
            part,
            length: bytes.len(),
            most,
        }),
    }
}
