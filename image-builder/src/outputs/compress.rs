//! Reads the image once, and compresses, hashes and maps it at the same time.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use content_digest::{HashingWriter, Sha256Digest};

use super::bmap::RangeHasher;
use crate::recipe::written::Compression;

/// Bytes read at a time.
const CHUNK: usize = 4 << 20;
/// Chunks that may wait for the slowest reader: bounds memory.
const WAITING: usize = 4;
/// zstd's own default: about a third of the size at memory speed.
const ZSTD_LEVEL: i32 = 3;
/// Threads compress jobs of this many bytes; fixed, so that the output does not depend on threads.
const ZSTD_JOB: u32 = 8 << 20;
/// xz's default preset.
const XZ_PRESET: u32 = 6;
/// Bytes in a block that xz threads compress on their own; fixed for the same reason.
const XZ_BLOCK: u64 = 16 << 20;

/// Digests and sizes of a compressed image.
#[derive(Debug, Clone)]
pub struct Compressed {
    /// Digest of the image.
    pub image_sha256: Sha256Digest,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Digest of the compressed file.
    pub file_sha256: Sha256Digest,
    /// Size of the compressed file in bytes.
    pub file_size: u64,
    /// Digest of each mapped range, in order.
    pub range_digests: Vec<Sha256Digest>,
}

/// Compresses `image` into `target`. `ranges` are the mapped byte ranges for the block map.
pub fn compress(
    image: &Path,
    target: &Path,
    compression: Compression,
    threads: usize,
    ranges: &[(u64, u64)],
) -> io::Result<Compressed> {
    let mut source = fs_err::File::open(image)?;
    let output = HashingWriter::new(fs_err::File::create(target)?);
    std::thread::scope(|scope| {
        let (to_hash, hash_in) = sync_channel::<Arc<Vec<u8>>>(WAITING);
        let (to_map, map_in) = sync_channel::<Arc<Vec<u8>>>(WAITING);
        let (to_pack, pack_in) = sync_channel::<Arc<Vec<u8>>>(WAITING);
        let hash = scope.spawn(move || {
            let mut hasher = HashingWriter::new(io::sink());
            for chunk in hash_in {
                hasher.write_all(&chunk)?;
            }
            let (_, digest, size) = hasher.finish();
            io::Result::Ok((digest, size))
        });
        let map = scope.spawn(move || {
            let mut hasher = RangeHasher::new(ranges);
            for chunk in map_in {
                hasher.update(&chunk);
            }
            hasher.finish()
        });
        let pack = scope.spawn(move || match compression {
            Compression::Zstd => pack_zstd(&pack_in, output, threads),
            Compression::Xz => pack_xz(&pack_in, output, threads),
        });
        let mut read = || -> io::Result<()> {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                io::Read::by_ref(&mut source)
                    .take(CHUNK as u64)
                    .read_to_end(&mut chunk)?;
                if chunk.is_empty() {
                    return Ok(());
                }
                let chunk = Arc::new(chunk);
                for channel in [&to_pack, &to_hash, &to_map] {
                    if channel.send(Arc::clone(&chunk)).is_err() {
                        // The receiver ended with an error, which is told below.
                        return Ok(());
                    }
                }
            }
        };
        let read = read();
        drop((to_hash, to_map, to_pack));
        let (file, file_sha256, file_size) = pack.join().expect("compressors do not panic")?;
        let (image_sha256, image_size) = hash.join().expect("hashers do not panic")?;
        let range_digests = map.join().expect("hashers do not panic");
        read?;
        file.sync_all()?;
        Ok(Compressed {
            image_sha256,
            image_size,
            file_sha256,
            file_size,
            range_digests,
        })
    })
}

type Output = HashingWriter<fs_err::File>;

fn pack_zstd(
    chunks: &Receiver<Arc<Vec<u8>>>,
    output: Output,
    threads: usize,
) -> io::Result<(fs_err::File, Sha256Digest, u64)> {
    let mut encoder = zstd::stream::write::Encoder::new(output, ZSTD_LEVEL)?;
    encoder.set_parameter(zstd::stream::raw::CParameter::NbWorkers(
        u32::try_from(threads.max(1)).unwrap_or(1),
    ))?;
    encoder.set_parameter(zstd::stream::raw::CParameter::JobSize(ZSTD_JOB))?;
    encoder.include_checksum(true)?;
    for chunk in chunks {
        encoder.write_all(&chunk)?;
    }
    Ok(encoder.finish()?.finish())
}

fn pack_xz(
    chunks: &Receiver<Arc<Vec<u8>>>,
    output: Output,
    threads: usize,
) -> io::Result<(fs_err::File, Sha256Digest, u64)> {
    let stream = liblzma::stream::MtStreamBuilder::new()
        .preset(XZ_PRESET)
        .block_size(XZ_BLOCK)
        .threads(u32::try_from(threads.max(1)).unwrap_or(1))
        .check(liblzma::stream::Check::Crc64)
        .encoder()
        .map_err(io::Error::other)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(output, stream);
    for chunk in chunks {
        encoder.write_all(&chunk)?;
    }
    Ok(encoder.finish()?.finish())
}
