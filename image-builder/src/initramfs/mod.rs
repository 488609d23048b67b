//! The initramfs: made from the tree for devices with two slots, and checked whoever made it.

mod check;
mod cpio;
mod modules;

use std::io::{self, Read as _, Write as _};
use std::path::Path;

pub use check::{EM_AARCH64, ForeignElf, elf_machine, foreign_elf_in_tree, inspect};
use cpio::Archive;
use modules::Modules;

/// The program that the kernel starts, in the tree.
pub const INIT: &str = "usr/lib/bakelite/init";
/// What it needs whatever the board: file systems, device-mapper, and the sums that they check. The first of two for one
/// sum is for processors that have instructions for it.
const NEEDED: &[&str] = &[
    "crc32c_generic",
    "dm-verity",
    "erofs",
    "ext4",
    "nls_ascii",
    "nls_cp437",
    "overlay",
    "sha256_arm64",
    "sha2_ce",
    "vfat",
];
/// It is read once by the firmware, and small counts on a slow card.
const LEVEL: i32 = 15;

/// Makes the initramfs: `init` and the modules that `wanted` names, with all that they depend on. A module that the kernel has
/// built in needs no file.
pub fn make(tree: &Path, version: &str, wanted: &[String]) -> io::Result<Vec<u8>> {
    let folder = tree.join("usr/lib/modules").join(version);
    let modules = Modules::read(&folder)?;
    let names = NEEDED
        .iter()
        .copied()
        .chain(wanted.iter().map(String::as_str));
    let mut archive = Archive::default();
    let mut list = String::new();
    for path in modules.in_order(names)? {
        let bytes = uncompressed(&folder.join(&path))?;
        let name = path.rsplit('/').next().unwrap_or(&path);
        let name = name
            .trim_end_matches(".xz")
            .trim_end_matches(".zst")
            .trim_end_matches(".gz");
        let place = format!("lib/{name}");
        list.push_str(&format!("/{place}\n"));
        archive.file(&place, 0o644, &bytes);
    }
    archive.file("modules", 0o644, list.as_bytes());
    archive.file("init", 0o755, &fs_err::read(tree.join(INIT))?);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.write_all(&archive.finish())?;
    encoder.finish()
}

/// Reads a module however it is compressed.
pub(crate) fn uncompressed(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs_err::read(path)?;
    let mut plain = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => liblzma::read::XzDecoder::new(&bytes[..]).read_to_end(&mut plain)?,
        Some("zst") => zstd::stream::read::Decoder::new(&bytes[..])?.read_to_end(&mut plain)?,
        Some("gz") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain)?,
        _ => return Ok(bytes),
    };
    Ok(plain)
}
