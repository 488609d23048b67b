//! What somebody names as the image: a file, or the folder of a build. Everything that is used of it is
//! checked before a disk is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact_manifest::{ArtifactManifest, ManifestError, Role};
use block_map::{BlockMap, MapError};
use content_digest::Sha256Digest;

use crate::memory::ALIGNMENT;
use crate::signature::{SignatureError, Signers};
use crate::source::{Compression, FileDigest, Source, SourceError};

/// The build's own list of its files.
pub const MANIFEST: &str = "manifest.json";

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
    /// Digest of the map's file.
    pub map_digest: Option<Sha256Digest>,
    /// The build that it belongs to.
    pub build: Option<Build>,
    /// Whose signature was checked.
    pub signed_by: Option<String>,
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
    /// Nobody who is believed signed it.
    #[error("the image is not written")]
    Signature(#[from] SignatureError),
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
    /// Opens an image, or the image of a build's folder, and checks it against its manifest. If there are signers,
    /// one of them must have signed it.
    pub fn open(path: &Path, threads: u32, signers: &Signers) -> Result<Self, PackageError> {
        let folder = if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().unwrap_or(Path::new("")).to_owned()
        };
        let sums = (!signers.is_empty()).then(|| signers.sums(&folder));
        let sums = sums.transpose()?;
        let manifest = read_manifest(&folder.join(MANIFEST), path.is_dir())?;
        let (manifest, candidate) = manifest.unzip();
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
        let source = match (&image, &sums) {
            (None, None) => source.hashed_into(Arc::clone(&known)),
            (None, Some(sums)) => {
                let (found, _) = digest(&path)?;
                sums.check(&file_name(&path), &found)?;
                known.get_or_init(|| found);
                source
            }
            (Some(file), sums) => {
                if let (Some(sums), Some(candidate)) = (sums, &candidate) {
                    sums.check(MANIFEST, candidate)?;
                }
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
        if let (Some(sums), Some(map), None) = (&sums, &map, &manifest) {
            sums.check(&file_name(map), &digest(map)?.0)?;
        }
        let map = map.map(|map| read_map(&map)).transpose()?.flatten();
        let (map, map_digest) = map.unzip();
        let extracted = manifest
            .as_ref()
            .and_then(|it| it.file(Role::Image)?.extracted);
        let plain = (source.compression() == Compression::None).then(|| source.length());
        Ok(Self {
            size: extracted
                .map(|it| it.size)
                .or(plain)
                .or(map.as_ref().map(|map| map.image_size)),
            build: manifest.zip(candidate).map(|(manifest, candidate)| Build {
                candidate,
                name: manifest.name,
                version: manifest.version,
            }),
            path,
            source,
            map,
            map_digest,
            signed_by: sums.map(|sums| sums.signer),
            digest: known,
        })
    }
}

/// Reads a manifest, and hashes it as it is.
fn read_manifest(
    path: &Path,
    is_needed: bool,
) -> Result<Option<(ArtifactManifest, Sha256Digest)>, PackageError> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if !is_needed && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(PackageError::Read { path, source });
        }
    };
    let manifest = ArtifactManifest::from_json(&text);
    let digest = Sha256Digest::of(&text);
    let manifest = manifest.map(|manifest| Some((manifest, digest)));
    manifest.map_err(|source| PackageError::Manifest {
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

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Reads a map, and hashes it. One whose blocks are smaller than those of direct I/O is passed over: all is written then.
fn read_map(path: &Path) -> Result<Option<(Arc<BlockMap>, Sha256Digest)>, PackageError> {
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
    Ok(is_aligned.then(|| (Arc::new(map), Sha256Digest::of(&text))))
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
        let package = Package::open(&image, 1, &Signers::default()).unwrap();
        assert_eq!((package.size, package.build), (Some(8192), None));
        assert!(matches!(
            Package::open(folder.path(), 1, &Signers::default()),
            Err(PackageError::Read { .. })
        ));
        let golden = include_str!("../../formats/artifact-manifest/golden/manifest-1.json");
        let mut manifest = ArtifactManifest::from_json(golden).unwrap();
        manifest.files.retain(|file| file.role == Role::Image);
        manifest.files[0].name = "x.img".into();
        manifest.files[0].size = 8192;
        fs_err::write(folder.path().join("manifest.json"), manifest.to_json()).unwrap();
        for path in [folder.path(), &image] {
            let error = Package::open(path, 1, &Signers::default()).unwrap_err();
            assert!(matches!(error, PackageError::Changed(_)), "{error}");
        }
        manifest.files[0].sha256 = Sha256Digest::of(vec![1; 8192]);
        manifest.files[0].extracted = None;
        fs_err::write(folder.path().join("manifest.json"), manifest.to_json()).unwrap();
        let build = Package::open(folder.path(), 1, &Signers::default())
            .unwrap()
            .build
            .unwrap();
        assert_eq!(build.candidate, manifest.digest());
    }
}
