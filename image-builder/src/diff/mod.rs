//! What changed between two builds: packages, boot files, files, sizes.

mod contents;
mod erofs;
mod ext4;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifact_manifest::{ArtifactManifest, ManifestError, Role};
use serde::Serialize;

use crate::firmware::FirmwareError;
use crate::lock::{self, Change};

pub use contents::{BootFile, Contents, FileFacts, Kind};

/// Two builds cannot be compared.
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
    /// The manifest names no image.
    #[error("{path} names no image")]
    NoImage {
        /// The file.
        path: String,
    },
    /// The boot partition cannot be read.
    #[error("cannot read the boot partition of {path}")]
    Boot {
        /// The image.
        path: String,
        /// Why.
        #[source]
        source: FirmwareError,
    },
    /// The root file system cannot be read.
    #[error("cannot read the root file system of {path}")]
    Root {
        /// The image.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A build's manifest, and where its image lies.
#[derive(Debug)]
pub struct Build {
    /// The manifest.
    pub manifest: ArtifactManifest,
    /// The compressed image.
    pub image: PathBuf,
}

impl Build {
    /// Reads a build, given its folder or its manifest.
    pub fn read(path: &Path) -> Result<Self, DiffError> {
        let path = if path.is_dir() {
            path.join("manifest.json")
        } else {
            path.to_owned()
        };
        let shown = || path.display().to_string();
        let text = fs_err::read_to_string(&path)?;
        let manifest =
            ArtifactManifest::from_json(&text).map_err(|source| DiffError::Manifest {
                path: shown(),
                source,
            })?;
        let image = manifest
            .file(Role::Image)
            .map(|file| path.with_file_name(&file.name));
        let image = image.ok_or_else(|| DiffError::NoImage { path: shown() })?;
        Ok(Self { manifest, image })
    }
}

/// What became of a name: facts before and after, absent where it was not there.
#[derive(Debug, Serialize)]
pub struct Changed<T> {
    /// Name or path.
    pub name: String,
    /// Facts in the first build.
    pub before: Option<T>,
    /// Facts in the second build.
    pub after: Option<T>,
}

/// The differences of two builds.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// Changed packages.
    pub packages: Vec<Change>,
    /// Kernel versions, if they differ.
    pub kernel: Option<(String, String)>,
    /// Changed files of the boot partition.
    pub boot_files: Vec<Changed<BootFile>>,
    /// Changed files of the root file system.
    pub files: Vec<Changed<FileFacts>>,
    /// Size of the image in both, in bytes.
    pub image_size: (u64, u64),
    /// Size of the download in both, in bytes.
    pub download_size: (u64, u64),
    /// Whether the images are the same, byte for byte.
    pub same_image: bool,
}

/// Compares two builds. Images are unpacked below `scratch`, unless the manifests say that they are
/// the same.
pub fn diff(before: &Build, after: &Build, scratch: &Path) -> Result<Diff, DiffError> {
    let sizes = |manifest: &ArtifactManifest| {
        let file = manifest.file(Role::Image);
        (
            file.and_then(|f| f.extracted).map_or(0, |e| e.size),
            file.map_or(0, |f| f.size),
            file.and_then(|f| f.extracted).map(|e| e.sha256),
        )
    };
    let (from, to) = (sizes(&before.manifest), sizes(&after.manifest));
    let same_image = from.2.is_some() && from.2 == to.2;
    let (boot_files, files) = if same_image {
        (Vec::new(), Vec::new())
    } else {
        let (first, second) = read_both(&before.image, &after.image, scratch)?;
        (
            compare(first.boot, second.boot),
            compare(first.files, second.files),
        )
    };
    let (before, after) = (&before.manifest, &after.manifest);
    Ok(Diff {
        packages: lock::compare(&before.packages, &after.packages),
        kernel: (before.kernel != after.kernel)
            .then(|| (before.kernel.clone(), after.kernel.clone())),
        boot_files,
        files,
        image_size: (from.0, to.0),
        download_size: (from.1, to.1),
        same_image,
    })
}

fn read_both(
    before: &Path,
    after: &Path,
    scratch: &Path,
) -> Result<(Contents, Contents), DiffError> {
    let read = |image: &Path, name: &str| {
        let folder = scratch.join(name);
        fs_err::create_dir_all(&folder)?;
        Contents::read(image, &folder)
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| read(after, "after"));
        let first = read(before, "before")?;
        Ok((first, second.join().expect("reading does not panic")?))
    })
}

fn compare<T: PartialEq>(
    mut before: BTreeMap<String, T>,
    after: BTreeMap<String, T>,
) -> Vec<Changed<T>> {
    let mut changes = Vec::new();
    for (name, facts) in after {
        let known = before.remove(&name);
        if known.as_ref() != Some(&facts) {
            changes.push(Changed {
                name,
                before: known,
                after: Some(facts),
            });
        }
    }
    changes.extend(before.into_iter().map(|(name, facts)| Changed {
        name,
        before: Some(facts),
        after: None,
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}
