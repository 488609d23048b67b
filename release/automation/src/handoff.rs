//! What somebody outside gets with a release: everything but the image, which they download and hash.

use std::path::PathBuf;

use crate::assets::Assets;
use crate::error::ActionError;
use crate::job::{Job, write_whole};
use crate::texts;

/// Makes the folder for the receiver below `into`. Returns its files.
pub fn bundle(job: &Job<'_>, into: &std::path::Path) -> Result<Vec<PathBuf>, ActionError> {
    let build = job.build()?;
    let assets = Assets::of(job)?;
    assets.stage(job)?;
    let image = build.manifest.file(artifact_manifest::Role::Image);
    let image = image.map_or("the image", |image| image.name.as_str());
    let notes = texts::release_notes(job)?;
    let product = job.product();
    let read_me = format!(
        "# {name} {version}\n\n\
         1. Download `{image}` from {website}.\n\
         2. Compute its SHA-256 yourself: `sha256sum {image}` (Linux), `shasum -a 256 {image}` (macOS),\n   \
         `certutil -hashfile {image} SHA256` (Windows).\n\
         3. Send us what your computer says. Please do not copy it from a file or a mail: your own number shows\n   \
         that you have the bytes that we tested.\n\n## What is new\n\n{notes}",
        name = product.name,
        version = job.version,
        website = product.website,
    );
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| {
        let path = into.join(name);
        write_whole(&path, bytes)?;
        written.push(path);
        Ok::<(), ActionError>(())
    };
    write("README.md", read_me.as_bytes())?;
    for asset in &assets.files {
        let is_proof = asset.sha256.is_none()
            || asset.name == crate::signing::SUMS
            || asset.name == "manifest.json";
        if is_proof {
            let bytes = fs_err::read(&asset.path).map_err(ActionError::read(&asset.path))?;
            write(&asset.name, &bytes)?;
        }
    }
    Ok(written)
}
