//! What a build hands out: compressed image, block map, hashes, manifest, bills of materials.

pub mod budget;
pub mod bundle;
pub mod sparse;
pub mod frames;
pub mod compress;
pub mod licence;
pub mod sbom;
pub mod imager;
pub mod report;
