//! A bundle before and after somebody vouched for it.

use std::marker::PhantomData;

use content_digest::Sha256Digest;

use crate::head::{HEAD_LENGTH, Head};
use crate::manifest::{Kind, Manifest};
use crate::segment::{self, Segment};

/// Nobody vouched for it.
#[derive(Debug, Clone, Copy)]
pub struct Unverified(());
/// Its manifest was vouched for, and vouches for the rest.
#[derive(Debug, Clone, Copy)]
pub struct Verified(());

/// A bundle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The file is something else.
    #[error("this is no update bundle")]
    NoBundle,
    /// Another form.
    #[error("the bundle has format {found}, and this program reads format {known}")]
    Format {
        /// Number found.
        found: u32,
        /// Number that is read.
        known: u32,
    },
    /// A part is longer than it may be.
    #[error("the bundle's {part} claims {length} bytes, and at most {most} are read")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length.
        length: u32,
        /// The limit.
        most: u32,
    },
    /// It ends too early.
    #[error("the bundle ends after {found} bytes, and {needed} are needed")]
    TooShort {
        /// Bytes there are.
        found: u64,
        /// Bytes there must be.
        needed: u64,
    },
    /// The manifest cannot be read.
    #[error("the bundle's manifest cannot be read: {error}")]
    Manifest {
        /// Why.
        error: String,
    },
    /// A part contradicts another.
    #[error("the bundle is malformed: {what}")]
    Malformed {
        /// What.
        what: &'static str,
    },
    /// The manifest is not the one that was vouched for.
    #[error("the bundle's manifest has SHA-256 {found}, and {expected} was vouched for")]
    Other {
        /// Digest found.
        found: Sha256Digest,
        /// Digest vouched for.
        expected: Sha256Digest,
    },
}

/// A bundle, without its segments' bytes.
#[derive(Debug, Clone)]
pub struct Bundle<S> {
    head: Head,
    trust: Vec<u8>,
    manifest: Vec<u8>,
    tables: Vec<u8>,
    read: Option<(Manifest, Vec<Vec<Segment>>)>,
    state: PhantomData<S>,
}

impl Bundle<Unverified> {
    /// Takes what lies before the segments: [`Head::metadata`] bytes. Nothing of it is believed but lengths within limits.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let too_short = |needed: u64| BundleError::TooShort {
            found: bytes.len() as u64,
            needed,
        };
        let head = bytes
            .first_chunk()
            .ok_or_else(|| too_short(HEAD_LENGTH as u64))?;
        let head = Head::from_bytes(head)?;
        if (bytes.len() as u64) < head.metadata() {
            return Err(too_short(head.metadata()));
        }
        let mut rest = &bytes[HEAD_LENGTH..];
        let mut part = |length: u32| {
            let (part, after) = rest.split_at(length as usize);
            rest = after;
            part.to_vec()
        };
        Ok(Self {
            trust: part(head.trust),
            manifest: part(head.manifest),
            tables: part(head.tables),
            head,
            read: None,
            state: PhantomData,
        })
    }

    /// Returns the trust section: what may vouch for the manifest without a network.
    pub fn trust(&self) -> &[u8] {
        &self.trust
    }

    /// Returns the manifest's bytes, of which somebody has to vouch for the digest.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// Takes the digest of a manifest that somebody vouched for. If this is the one, and everything follows from it, the
    /// bundle may be used.
    pub fn verify(self, vouched: Sha256Digest) -> Result<Bundle<Verified>, BundleError> {
        let found = Sha256Digest::of(&self.manifest);
        if found != vouched {
            return Err(BundleError::Other {
                found,
                expected: vouched,
            });
        }
        let manifest = Manifest::from_json(&self.manifest)?;
        if Sha256Digest::of(&self.tables) != manifest.tables {
            return Err(BundleError::Malformed {
                what: "its tables are not those that the manifest names",
            });
        }
        let lengths = manifest.images.iter().map(|image| image.length);
        let images = segment::from_tables(&self.tables, lengths, self.head.metadata())?;
        let stored: u64 = images
            .iter()
            .flatten()
            .map(|segment| u64::from(segment.stored))
            .sum();
        if stored != self.head.segments {
            return Err(BundleError::Malformed {
                what: "its head tells another length than its tables",
            });
        }
        Ok(Bundle {
            head: self.head,
            trust: self.trust,
            manifest: self.manifest,
            tables: self.tables,
            read: Some((manifest, images)),
            state: PhantomData,
        })
    }
}

impl Bundle<Verified> {
    fn parts(&self) -> &(Manifest, Vec<Vec<Segment>>) {
        self.read.as_ref().expect("a verified bundle was read")
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.parts().0
    }

    /// Returns the digest of the manifest: the bundle's name.
    pub fn id(&self) -> Sha256Digest {
        Sha256Digest::of(&self.manifest)
    }

    /// Returns the segments of an image, in order.
    pub fn segments(&self, kind: Kind) -> &[Segment] {
        let (manifest, images) = self.parts();
        let index = manifest.images.iter().position(|image| image.kind == kind);
        index
            .and_then(|index| images.get(index))
            .map_or(&[], Vec::as_slice)
    }
}

impl<S> Bundle<S> {
    /// Returns the length of the whole bundle in bytes.
    pub fn length(&self) -> u64 {
        self.head.total()
    }
}
