//! What somebody names as the image: a file, or the folder of a build. Everything that is used of it is
//! checked before a disk is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact_manifest::{ArtifactManifest, ManifestError, Role};
use block_map::{BlockMap, MapError};
use content_digest::Sha256Digest;

use crate::memory::ALIGNMENT;
use crate::source::{Compression, FileDigest, Source, SourceError};

/// An image that is ready to be written.
#[derive(Debug, Clone)]
pub struct Package {
    /// The image's file.
    pub path: PathBuf,
    /// The image.
    pub source: Source,
    /// Its block map, if there is one.
    pub map: Option<Arc<BlockMap>>,
    /// Bytes of the unpacked image, where they are known.
    pub size: Option<u64>,
    /// Digest of the file: compared with the build's before, or taken while it is read.
    pub digest: FileDigest,
    /// The build that it belongs to.
    pub build: Option<Build>,
}

/// A build, by its manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Build {
    /// Name of its recipe.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its manifest: the candidate's name.
    pub candidate: Sha256Digest,
}

/// An image is not written.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is malformed.
    #[error("{} is no manifest", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The folder has no image.
    #[error("{} names no image", .0.display())]
    NoImage(PathBuf),
    /// A file is not the one that the manifest names.
    #[error("{} is not the file that its manifest names: it was changed, or not downloaded whole", .0.display())]
    Changed(PathBuf),
    /// The map is malformed.
    #[error("{} is no block map", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The image is no image.
    #[error("{} is no image", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SourceError,
    },
}

impl Package {
    /// Opens an image, or the image of a build's folder, and checks it against its manifest.
    pub fn open(path: &Path, threads: u32) -> Result<Self, PackageError> {
        let folder = if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().unwrap_or(Path::new("")).to_owned()
        };
        let manifest = read_manifest(&folder.join("manifest.json"), path.is_dir())?;
        let named = manifest
            .as_ref()
            .and_then(|manifest| manifest.file(Role::Image));
        let image = match named.cloned() {
            Some(file) if path.is_dir() || path.file_name() == Some(file.name.as_ref()) => {
                Some(file)
            }
            _ if path.is_dir() => return Err(PackageError::NoImage(folder)),
            _ => None,
        };
        let path = image
            .as_ref()
            .map_or_else(|| path.to_owned(), |file| folder.join(&file.name));
        // Looked at before it is hashed: what is written to it later shows.
        let source = Source::of_file(&path, threads).map_err(|source| PackageError::Image {
            path: path.clone(),
            source,
        })?;
        let known = FileDigest::default();
        let source = match &image {
            None => source.hashed_into(Arc::clone(&known)),
            Some(file) => {
                if digest(&path)? != (file.sha256, file.size) {
                    return Err(PackageError::Changed(path));
                }
                known.get_or_init(|| file.sha256);
                source
            }
        };
        let manifest = manifest.filter(|_| image.is_some());
        let map = match manifest.as_ref().map(|manifest| manifest.file(Role::Bmap)) {
            Some(Some(file)) => {
                let map = folder.join(&file.name);
                if digest(&map)? != (file.sha256, file.size) {
                    return Err(PackageError::Changed(map));
                }
                Some(map)
            }
            Some(None) => None,
            None => map_beside(&path),
        };
        let map = map.map(|map| read_map(&map)).transpose()?.flatten();
        let extracted = manifest
            .as_ref()
            .and_then(|it| it.file(Role::Image)?.extracted);
        let plain = (source.compression() == Compression::None).then(|| source.length());
        Ok(Self {
            size: extracted
                .map(|it| it.size)
                .or(plain)
                .or(map.as_ref().map(|map| map.image_size)),
            build: manifest.map(|manifest| Build {
                candidate: manifest.digest(),
                name: manifest.name,
                version: manifest.version,
            }),
            path,
            source,
            map,
            digest: known,
        })
    }
}

fn read_manifest(path: &Path, is_needed: bool) -> Result<Option<ArtifactManifest>, PackageError> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if !is_needed && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(PackageError::Read { path, source });
        }
    };
    let manifest = ArtifactManifest::from_json(&text);
    manifest.map(Some).map_err(|source| PackageError::Manifest {
        path: path.to_owned(),
        source,
    })
}

fn digest(path: &Path) -> Result<(Sha256Digest, u64), PackageError> {
    Sha256Digest::of_file(path).map_err(|source| PackageError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Finds the map as bmaptool does: `x.img.bmap`, or `x.bmap`, beside `x.img.xz`.
fn map_beside(image: &Path) -> Option<PathBuf> {
    let mut name = image.file_name()?.to_str()?;
    loop {
        let map = image.with_file_name(format!("{name}.bmap"));
        if map.is_file() {
            return Some(map);
        }
        name = name.rsplit_once('.')?.0;
    }
}

/// Reads a map. One whose blocks are smaller than those of direct I/O is passed over: all is written then.
fn read_map(path: &Path) -> Result<Option<Arc<BlockMap>>, PackageError> {
    let text = fs_err::read_to_string(path).map_err(|source| PackageError::Read {
        path: path.to_owned(),
        source,
    })?;
    let map = BlockMap::read(&text).map_err(|source| PackageError::Map {
        path: path.to_owned(),
        source,
    })?;
    let block = u64::try_from(ALIGNMENT).expect("a small number");
    let is_aligned = map
        .ranges
        .iter()
        .all(|range| range.start.is_multiple_of(block));
    Ok(is_aligned.then(|| Arc::new(map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_found_where_bmaptool_looks() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x-1.0.img.xz");
        assert_eq!(map_beside(&image), None);
        for name in ["x-1.0.bmap", "x-1.0.img.bmap"] {
            let map = folder.path().join(name);
            fs_err::write(&map, "").unwrap();
            assert_eq!(map_beside(&image), Some(map));
        }
    }

    #[test]
    fn a_changed_image_of_a_build_is_refused_and_a_plain_file_taken() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.img");
        fs_err::write(&image, vec![1; 8192]).unwrap();
        let package = Package::open(&image, 1).unwrap();
        assert_eq!((package.size, package.build), (Some(8192), None));
        assert!(matches!(
            Package::open(folder.path(), 1),
            Err(PackageError::Read { .. })
        ));
        let golden = include_str!("../../formats/artifact-manifest/golden/manifest-1.json");
        let mut manifest = ArtifactManifest::from_json(golden).unwrap();
        manifest.files.retain(|file| file.role == Role::Image);
        manifest.files[0].name = "x.img".into();
        manifest.files[0].size = 8192;
        fs_err::write(folder.path().join("manifest.json"), manifest.to_json()).unwrap();
        for path in [folder.path(), &image] {
            let error = Package::open(path, 1).unwrap_err();
            assert!(matches!(error, PackageError::Changed(_)), "{error}");
        }
        manifest.files[0].sha256 = Sha256Digest::of(vec![1; 8192]);
        manifest.files[0].extracted = None;
        fs_err::write(folder.path().join("manifest.json"), manifest.to_json()).unwrap();
        let build = Package::open(folder.path(), 1).unwrap().build.unwrap();
        assert_eq!(build.candidate, manifest.digest());
    }
}
