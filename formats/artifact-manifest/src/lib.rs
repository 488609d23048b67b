//! `manifest.json`: what one build made. The image builder writes it, the release room reads it.
//!
//! In: facts of a build. Out: JSON as `SPEC.md` beside this crate describes it. Never touches files.

use std::collections::BTreeMap;

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

/// The format version that this crate writes.
pub const SCHEMA: u32 = 1;

/// Everything that one build made. Its digest names the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactManifest {
    /// Format version.
    pub schema: u32,
    /// Name of the recipe.
    pub name: String,
    /// Version of the image.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Board overlay.
    pub board: String,
    /// Boards that the image starts on, by the names of the firmware model.
    pub boards: Vec<String>,
    /// Release of the boot EEPROM that an image with two slots should find at least, by board.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub eeprom: BTreeMap<String, String>,
    /// Distro overlay.
    pub distro: String,
    /// Debian architecture.
    pub architecture: String,
    /// Newest time in the image, RFC 3339.
    pub timestamp: String,
    /// Digest of the lock that was used.
    pub lock: Sha256Digest,
    /// Version of the kernel.
    pub kernel: String,
    /// Packages with their versions.
    pub packages: BTreeMap<String, String>,
    /// Files of the build, by role then name.
    pub files: Vec<ArtifactFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// File name, relative to the manifest.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256Digest,
    /// The image inside, for a compressed image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<Extracted>,
}

/// The contents of a compressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256Digest,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The compressed disk image.
    Image,
    /// The block map of the image.
    Bmap,
    /// The lock.
    Lock,
    /// SPDX document.
    Spdx,
    /// CycloneDX document.
    Cyclonedx,
    /// Packages and licences.
    Packages,
    /// Manifest for Raspberry Pi Imager.
    ImagerManifest,
    /// The agent as a Debian package.
    Package,
    /// The signed update bundle.
    Bundle,
    /// A role of a newer writer: readers keep and verify the file, and make nothing of it.
    #[serde(other)]
    Unknown,
}

/// The text is no manifest that this reader understands.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of this shape.
    #[error("the manifest is malformed")]
    Parse(#[from] serde_json::Error),
    /// A format version of another program.
    #[error("the manifest has schema {found}; this program reads schema {SCHEMA}")]
    Schema {
        /// Version found.
        found: u32,
    },
    /// A file name that leads elsewhere.
    #[error("the manifest names a file “{name}” outside its folder")]
    FileName {
        /// The name.
        name: String,
    },
}

impl ArtifactManifest {
    /// Writes the manifest. Equal manifests give equal bytes.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is plain data");
        text.push('\n');
        text
    }

    /// Reads a manifest. File names are checked; the files themselves are for the caller to hash.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let Head { schema } = serde_json::from_str(text)?;
        if schema != SCHEMA {
            return Err(ManifestError::Schema { found: schema });
        }
        let manifest: Self = serde_json::from_str(text)?;
        let leads_out =
            |name: &str| name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.');
        match manifest.files.iter().find(|file| leads_out(&file.name)) {
            Some(file) => Err(ManifestError::FileName {
                name: file.name.clone(),
            }),
            None => Ok(manifest),
        }
    }

    /// Returns the digest of the written manifest: the candidate's name.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.to_json())
    }

    /// Returns the file with a role.
    pub fn file(&self, role: Role) -> Option<&ArtifactFile> {
        self.files.iter().find(|file| file.role == role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first released form; it must be readable for ever.
    const GOLDEN: &str = include_str!("../golden/manifest-1.json");

    #[test]
    fn the_golden_file_reads_and_writes_the_same_bytes() {
        let manifest = ArtifactManifest::from_json(GOLDEN).unwrap();
        assert_eq!(manifest.to_json(), GOLDEN);
        assert_eq!(
            manifest.file(Role::Image).unwrap().extracted.unwrap().size,
            1024
        );
    }

    #[test]
    fn another_schema_is_refused_by_number() {
        let error =
            ArtifactManifest::from_json(&GOLDEN.replacen("\"schema\": 1", "\"schema\": 2", 1))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the manifest has schema 2; this program reads schema 1"
        );
    }

    #[test]
    fn a_file_outside_the_folder_is_refused() {
        for name in ["../x", "/etc/passwd", "", ".hidden"] {
            let text = GOLDEN.replace("kvm-1.img.zst", name);
            assert!(
                matches!(
                    ArtifactManifest::from_json(&text),
                    Err(ManifestError::FileName { .. })
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_role_of_the_future_is_kept_as_unknown() {
        let manifest =
            ArtifactManifest::from_json(&GOLDEN.replace("\"image\"", "\"hologram\"")).unwrap();
        assert_eq!(manifest.files[0].role, Role::Unknown);
    }
}
