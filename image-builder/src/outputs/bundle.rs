//! The update bundle of an image with two slots: both images of the first slot, cut into segments.
//!
//! Nobody vouches for it yet: `bakelite publish` signs.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ota_bundle::{Draft, Kind, SEGMENT, Verity, WriteError, Writer};
use serde::{Deserialize, Serialize};

use super::frames::Frames;

/// A bundle is compressed once and fetched by every device: smaller than the image's frames, in bearable time.
pub const LEVEL: i32 = 12;

/// What the first slot of an image holds. Places and lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Signature of the disk.
    pub disk: u32,
    /// Place and used length of the boot slot.
    pub boot: (u64, u64),
    /// Length of its file system.
    pub boot_room: u64,
    /// Place and length of the root slot: file system and hash tree.
    pub root: (u64, u64),
    /// Blocks of the root file system.
    pub data_blocks: u64,
    /// Salt, hexadecimal.
    pub salt: String,
    /// Root hash.
    pub root_hash: content_digest::Sha256Digest,
}

/// Writes the bundle of the image in the file `image` to `target`.
pub fn write(
    image: &Path,
    slots: &Slots,
    draft: Draft,
    frames: &Frames,
    threads: usize,
    target: &Path,
) -> Result<(), WriteError> {
    let mut file = fs_err::File::open(image)?;
    for (place, length) in [slots.root, slots.boot] {
        compress_all(file.file(), place, length, frames, threads)?;
    }
    let scratch = target.with_extension("segments");
    let stored = fs_err::OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&scratch)?;
    let mut writer = Writer::new(stored);
    let verity = Verity {
        data_blocks: slots.data_blocks,
        salt: slots.salt.clone(),
        root: slots.root_hash,
    };
    for (kind, (place, length), room, verity) in [
        (Kind::Root, slots.root, slots.root.1, Some(verity)),
        (Kind::Boot, slots.boot, slots.boot_room, None),
    ] {
        file.seek(SeekFrom::Start(place))?;
        let mut part = io::Read::by_ref(&mut file).take(length);
        writer.image(kind, (length, room), verity, &mut part, |bytes| {
            frames.frame(bytes)
        })?;
    }
    let mut bundle = io::BufWriter::new(fs_err::File::create(target)?);
    writer.finish(draft, &mut bundle, |_| Ok(Vec::new()))?;
    let bundle = bundle
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    bundle.sync_all()?;
    fs_err::remove_file(&scratch)?;
    Ok(())
}

/// Has a frame of every segment kept, on all processors; the writer finds them one after the other.
fn compress_all(
    file: &std::fs::File,
    place: u64,
    length: u64,
    frames: &Frames,
    threads: usize,
) -> io::Result<()> {
    let next = AtomicU64::new(0);
    let step = u64::from(SEGMENT);
    std::thread::scope(|scope| {
        let work = || -> io::Result<()> {
            let mut bytes = Vec::new();
            loop {
                let at = next.fetch_add(step, Ordering::Relaxed);
                if at >= length {
                    return Ok(());
                }
                bytes.resize(
                    usize::try_from(step.min(length - at)).expect("a segment"),
                    0,
                );
                file.read_exact_at(&mut bytes, place + at)?;
                if bytes.iter().any(|byte| *byte != 0) {
                    frames.frame(&bytes)?;
                }
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("compressing does not panic"))
    })
}
