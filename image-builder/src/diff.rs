//! What changed between two builds: packages, boot files, sizes, outputs.

use std::path::Path;

use artifact_manifest::{ArtifactManifest, ManifestError, Role};
use serde::Serialize;

use crate::lock::{self, Change};

/// A build's outputs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A file cannot be read.
    #[error("cannot read a build")]
    Io(#[from] std::io::Error),
    /// The manifest is malformed.
    #[error("{path} is no manifest")]
    Manifest {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
}

/// The differences of two builds.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// Changed packages.
    pub packages: Vec<Change>,
    /// Kernel versions, if they differ.
    pub kernel: Option<(String, String)>,
    /// Size of the image in both, in bytes.
    pub image_size: (u64, u64),
    /// Size of the download in both, in bytes.
    pub download_size: (u64, u64),
    /// Whether the images are the same, byte for byte.
    pub same_image: bool,
}

/// Reads a build's manifest, given its folder or the manifest itself.
pub fn read_manifest(path: &Path) -> Result<ArtifactManifest, DiffError> {
    let path = if path.is_dir() {
        path.join("manifest.json")
    } else {
        path.to_owned()
    };
    let text = fs_err::read_to_string(&path)?;
    ArtifactManifest::from_json(&text).map_err(|source| DiffError::Manifest {
        path: path.display().to_string(),
        source,
    })
}

/// Compares two builds by their manifests.
pub fn diff(before: &ArtifactManifest, after: &ArtifactManifest) -> Diff {
    let sizes = |manifest: &ArtifactManifest| {
        let file = manifest.file(Role::Image);
        (
            file.and_then(|f| f.extracted).map_or(0, |e| e.size),
            file.map_or(0, |f| f.size),
            file.and_then(|f| f.extracted).map(|e| e.sha256),
        )
    };
    let (from, to) = (sizes(before), sizes(after));
    Diff {
        packages: lock::compare(&before.packages, &after.packages),
        kernel: (before.kernel != after.kernel)
            .then(|| (before.kernel.clone(), after.kernel.clone())),
        image_size: (from.0, to.0),
        download_size: (from.1, to.1),
        same_image: from.2.is_some() && from.2 == to.2,
    }
}
