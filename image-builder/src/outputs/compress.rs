//! Reads the image once, and compresses, hashes and maps it at the same time.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use block_map::RangeHasher;
use content_digest::{HashingWriter, Sha256Digest};

use super::frames::{Frames, Piece, Pieces};
use super::sparse::SparseReader;
use crate::recipe::written::Compression;

/// Pieces that may wait for the slowest reader: bounds memory.
const WAITING: usize = 2;
/// xz's default preset.
const XZ_PRESET: u32 = 6;
/// Bytes in a block that xz threads compress on their own; fixed, so that the output does not depend
/// on threads.
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

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The format.
    pub compression: Compression,
    /// Threads to compress with.
    pub threads: usize,
    /// Frames of earlier builds, for Zstandard.
    pub frames: &'a Frames,
}

/// Compresses `image` into `target`. `ranges` are the mapped byte ranges for the block map.
pub fn compress(
    image: &Path,
    target: &Path,
    settings: Settings<'_>,
    ranges: &[(u64, u64)],
) -> io::Result<Compressed> {
    let image = SparseReader::new(fs_err::File::open(image)?.into_file())?;
    let mut pieces = Pieces::new(image);
    let output = HashingWriter::new(fs_err::File::create(target)?);
    std::thread::scope(|scope| {
        let (to_hash, hash_in) = sync_channel::<Arc<Piece>>(WAITING);
        let (to_map, map_in) = sync_channel::<Arc<Piece>>(WAITING);
        let (to_pack, pack_in) = sync_channel::<Arc<Piece>>(WAITING);
        let hash = scope.spawn(move || {
            let mut hasher = HashingWriter::new(io::sink());
            for piece in hash_in {
                hasher.write_all(&piece)?;
            }
            let (_, digest, size) = hasher.finish();
            io::Result::Ok((digest, size))
        });
        let map = scope.spawn(move || {
            let mut hasher = RangeHasher::new(ranges);
            for piece in map_in {
                hasher.update(&piece);
            }
            hasher.finish()
        });
        let pack = scope.spawn(move || match settings.compression {
            Compression::Zstd => pack_zstd(&pack_in, output, settings),
            Compression::Xz => pack_xz(&pack_in, output, settings.threads),
        });
        let mut read = || -> io::Result<()> {
            let mut lent: Vec<Arc<Piece>> = Vec::new();
            loop {
                let free = lent.iter().position(|piece| Arc::strong_count(piece) == 1);
                let memory = free.and_then(|index| Arc::into_inner(lent.swap_remove(index)));
                let Some(piece) = pieces.next_piece(memory.unwrap_or_default())? else {
                    return Ok(());
                };
                let piece = Arc::new(piece);
                lent.push(Arc::clone(&piece));
                for channel in [&to_pack, &to_hash, &to_map] {
                    if channel.send(Arc::clone(&piece)).is_err() {
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

/// A piece on its way to a compressor, and where its frame goes.
type Job = (Arc<Piece>, SyncSender<io::Result<Vec<u8>>>);

fn pack_zstd(
    pieces: &Receiver<Arc<Piece>>,
    mut output: Output,
    settings: Settings<'_>,
) -> io::Result<(fs_err::File, Sha256Digest, u64)> {
    let threads = settings.threads.max(1);
    std::thread::scope(|scope| {
        let (to_work, jobs) = sync_channel::<Job>(threads);
        let (to_order, order) = sync_channel::<Receiver<io::Result<Vec<u8>>>>(2 * threads);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            scope.spawn(move || {
                loop {
                    let job = jobs.lock().expect("no panic while held").recv();
                    let Ok((piece, answer)) = job else { return };
                    // Nobody waits for it once the writer has failed.
                    drop(answer.send(settings.frames.frame(&piece)));
                }
            });
        }
        let writer = scope.spawn(move || -> io::Result<Output> {
            for frame in order {
                let frame = frame.recv().map_err(io::Error::other)??;
                output.write_all(&frame)?;
            }
            Ok(output)
        });
        for piece in pieces {
            let (answer, frame) = sync_channel(1);
            if to_order.send(frame).is_err() || to_work.send((piece, answer)).is_err() {
                // The writer ended with an error, which is told below.
                break;
            }
        }
        drop((to_order, to_work));
        Ok(writer.join().expect("the writer does not panic")?.finish())
    })
}

fn pack_xz(
    pieces: &Receiver<Arc<Piece>>,
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
    for piece in pieces {
        encoder.write_all(&piece)?;
    }
    Ok(encoder.finish()?.finish())
}
