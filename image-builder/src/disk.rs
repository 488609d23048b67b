//! A disk file out of a compressed image.

use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes read at a time; holes are found at this grain.
const CHUNK: usize = 1 << 20;

/// Decompresses `image` (`.img`, `.img.zst` or `.img.xz`) into the sparse file `disk`, which gets at
/// least `size` bytes: room for the root partition to grow.
pub fn decompress(image: &Path, disk: &Path, size: u64) -> io::Result<()> {
    let file = fs_err::File::open(image)?;
    let mut reader: Box<dyn io::Read> = match image.extension().and_then(|e| e.to_str()) {
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        Some("xz") => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        _ => Box::new(file),
    };
    let output = fs_err::File::create(disk)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut position = 0_u64;
    loop {
        chunk.clear();
        (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return output.set_len(position.max(size));
        }
        // Holes stay holes.
        if chunk.iter().any(|byte| *byte != 0) {
            output.file().write_all_at(&chunk, position)?;
        }
        position += chunk.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_gives_the_same_sparse_disk() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 5 * CHUNK + 17];
        bytes[3 * CHUNK + 5] = 7;
        bytes.push(9);
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("a.img"), &bytes).unwrap();
        fs_err::write(path("a.img.zst"), zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        let mut xz = liblzma::read::XzEncoder::new(&bytes[..], 1);
        let mut packed = Vec::new();
        xz.read_to_end(&mut packed).unwrap();
        fs_err::write(path("a.img.xz"), packed).unwrap();
        for name in ["a.img", "a.img.zst", "a.img.xz"] {
            decompress(&path(name), &path("disk"), 0).unwrap();
            assert_eq!(fs_err::read(path("disk")).unwrap(), bytes, "{name}");
            let data = fs_err::metadata(path("disk")).unwrap();
            assert!(
                data.blocks() * 512 < bytes.len() as u64,
                "{name} has no holes"
            );
        }
        decompress(&path("a.img"), &path("disk"), 1 << 30).unwrap();
        assert_eq!(fs_err::metadata(path("disk")).unwrap().len(), 1 << 30);
    }
}
