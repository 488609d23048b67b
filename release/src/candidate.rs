//! A build becomes a candidate only after its files were hashed again: nothing that a manifest says is
//! believed.

use std::io;
use std::path::{Path, PathBuf};

use artifact_manifest::{ArtifactManifest, ManifestError, Role};
use content_digest::Sha256Digest;

/// A manifest whose files are there, with the digests that it names. Only checking makes one.
#[derive(Debug, Clone)]
pub struct CheckedBuild {
    /// The manifest.
    pub manifest: ArtifactManifest,
    /// Its digest: the candidate's name.
    pub digest: Sha256Digest,
    /// Digest of the image as downloaded.
    pub image: Sha256Digest,
    /// Folder of the files.
    pub folder: PathBuf,
}

/// A build cannot be a candidate.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// The manifest cannot be read.
    #[error("cannot read the manifest {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is malformed.
    #[error("{path} is no manifest")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The manifest names no image.
    #[error("{path} names no image")]
    NoImage {
        /// The file.
        path: PathBuf,
    },
    /// Files differ from what the manifest says.
    #[error("the files are not those of {path}:\n  {}", differences.join("\n  "))]
    Files {
        /// The manifest.
        path: PathBuf,
        /// What differs, a line each.
        differences: Vec<String>,
    },
}

/// Reads a manifest and hashes every file that it names.
pub fn check(path: &Path) -> Result<CheckedBuild, CandidateError> {
    let path = if path.is_dir() {
        path.join("manifest.json")
    } else {
        path.to_owned()
    };
    let text = fs_err::read_to_string(&path).map_err(|source| CandidateError::Read {
        path: path.clone(),
        source,
    })?;
    let manifest =
        ArtifactManifest::from_json(&text).map_err(|source| CandidateError::Manifest {
            path: path.clone(),
            source,
        })?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut differences = Vec::new();
    for file in &manifest.files {
        match Sha256Digest::of_file(&folder.join(&file.name)) {
            Ok((digest, size)) if (digest, size) == (file.sha256, file.size) => {}
            Ok((digest, size)) => differences.push(format!(
                "{}: {size} bytes with SHA-256 {digest}, but the manifest says {} bytes with {}",
                file.name, file.size, file.sha256
            )),
            Err(error) => differences.push(format!("{}: {error}", file.name)),
        }
    }
    if !differences.is_empty() {
        return Err(CandidateError::Files { path, differences });
    }
    let Some(image) = manifest.file(Role::Image).map(|file| file.sha256) else {
        return Err(CandidateError::NoImage { path });
    };
    Ok(CheckedBuild {
        digest: Sha256Digest::of(&text),
        image,
        folder,
        manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(image: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let golden = include_str!("../../formats/artifact-manifest/golden/manifest-1.json");
        let mut manifest = ArtifactManifest::from_json(golden).unwrap();
        manifest.files.truncate(1);
        manifest.files[0].size = image.len() as u64;
        manifest.files[0].sha256 = Sha256Digest::of(image);
        fs_err::write(folder.path().join(&manifest.files[0].name), image).unwrap();
        let path = folder.path().join("manifest.json");
        fs_err::write(&path, manifest.to_json()).unwrap();
        (folder, path)
    }

    #[test]
    fn the_digest_is_that_of_the_file_that_others_can_hash() {
        let (folder, path) = build(b"image");
        let checked = check(folder.path()).unwrap();
        assert_eq!(checked.digest, Sha256Digest::of_file(&path).unwrap().0);
        assert_eq!(checked.image, Sha256Digest::of(b"image"));
    }

    #[test]
    fn files_that_differ_are_named() {
        let (folder, path) = build(b"image");
        let name = check(&path).unwrap().manifest.files[0].name.clone();
        fs_err::write(folder.path().join(&name), b"imagE").unwrap();
        let error = check(&path).unwrap_err().to_string();
        assert!(
            error.contains(&name) && error.contains("but the manifest says"),
            "{error}"
        );
        fs_err::remove_file(folder.path().join(&name)).unwrap();
        assert!(matches!(check(&path), Err(CandidateError::Files { .. })));
    }
}
