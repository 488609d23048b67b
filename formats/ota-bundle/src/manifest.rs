//! What a bundle is: the part that is signed, and that vouches for the rest.

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};
use verity_tree::SALT;

use crate::BundleError;

/// Number of the manifest's form. Fields may be added without another number.
pub const FORMAT: u32 = 1;

/// What a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the product: a device takes only its own.
    pub product: String,
    /// Version, for people.
    pub version: String,
    /// Time of its newest part, in seconds since 1970: the clock of a device that took it is not earlier.
    pub created: u64,
    /// A device takes nothing below the highest index that it ever kept.
    #[serde(default)]
    pub rollback_index: u32,
    /// Boards that it is for, as the first words of `/proc/device-tree/compatible` name them.
    pub boards: Vec<String>,
    /// Signature of the disk that its kernel looks for, eight hexadecimal digits.
    pub disk: String,
    /// What is written.
    pub images: Vec<ImageEntry>,
    /// SHA-256 of the tables.
    pub tables: Sha256Digest,
    /// What is new, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The root slot: file system and hash tree.
    Root,
    /// The boot slot: the used beginning of its FAT.
    Boot,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageEntry {
    /// What it is for.
    pub kind: Kind,
    /// Its length in bytes.
    pub length: u64,
    /// Room that its slot must have: a file system may be larger than its used part.
    pub room: u64,
    /// SHA-256 of all of it.
    pub sha256: Sha256Digest,
    /// How the file system is checked as it is read: the root image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<Verity>,
}

/// The hash tree of a root image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verity {
    /// Blocks of data; the superblock and the tree follow them.
    pub data_blocks: u64,
    /// Salt, hexadecimal.
    pub salt: String,
    /// Root hash.
    pub root: Sha256Digest,
}

impl Verity {
    /// Returns the salt's bytes.
    pub fn salt(&self) -> Option<[u8; SALT]> {
        let mut salt = [0; SALT];
        hex::decode_to_slice(&self.salt, &mut salt).ok()?;
        Some(salt)
    }
}

impl Manifest {
    /// Writes the manifest.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest, and checks what can be checked without the device.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        // The number first: a newer form may lack what this one needs.
        #[derive(Deserialize)]
        struct Numbered {
            format: u32,
        }
        let bad = |error: serde_json::Error| BundleError::Manifest {
            error: error.to_string(),
        };
        let numbered: Numbered = serde_json::from_slice(bytes).map_err(bad)?;
        if numbered.format != FORMAT {
            return Err(BundleError::Format {
                found: numbered.format,
                known: FORMAT,
            });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(bad)?;
        let kinds: Vec<Kind> = manifest.images.iter().map(|image| image.kind).collect();
        if kinds != [Kind::Root, Kind::Boot] {
            return Err(BundleError::Malformed {
                what: "it must hold a root and a boot image, in this order",
            });
        }
        for image in &manifest.images {
            let blocks = image.verity.as_ref().map(|verity| verity.data_blocks);
            let fits =
                blocks.is_none_or(|blocks| blocks < image.length / verity_tree::BLOCK as u64);
            let salted = image
                .verity
                .as_ref()
                .is_none_or(|verity| verity.salt().is_some());
            let is_checked = image.kind != Kind::Root || blocks.is_some();
            if image.length == 0 || image.length > image.room || !fits || !salted || !is_checked {
                return Err(BundleError::Malformed {
                    what: "the measures of an image contradict each other",
                });
            }
        }
        if manifest.disk.len() != 8 || u32::from_str_radix(&manifest.disk, 16).is_err() {
            return Err(BundleError::Malformed {
                what: "its disk signature is not eight hexadecimal digits",
            });
        }
        Ok(manifest)
    }

    /// Returns an image.
    ///
    /// # Panics
    ///
    /// Never: a manifest without both images is not read.
    pub fn image(&self, kind: Kind) -> &ImageEntry {
        let found = self.images.iter().find(|image| image.kind == kind);
        found.expect("both images are there")
    }
}
