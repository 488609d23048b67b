//! One disk's way from old to new. At every moment it is either whole and read back, or it does not boot:
//! its first blocks are empty from the first write on, and come last.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use block_map::{BlockMap, Range};
use content_digest::HashingWriter;

use super::chunk::{CHUNK, Chunk};
use super::disk::BlockDevice;
use super::image::{HEAD, Image, parts};
use crate::memory::{ALIGNMENT, Aligned};
use crate::settings::Patch;

const BLOCK: u64 = ALIGNMENT as u64;
/// The smallest part of a disk that is stored whole or not at all.
const SECTOR: usize = 512;

/// What is written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes of the image, if they are known before it is unpacked.
    pub size: Option<u64>,
    /// Which of them hold anything. Without a map all do.
    pub map: Option<Arc<BlockMap>>,
    /// Whether the disk is read back.
    pub reads_back: bool,
    /// Whether the image's file was compared with the digest that its build has for it.
    pub is_checked: bool,
}

impl Plan {
    /// Whether what is unpacked is hashed: to be compared with the disk, or with a map that may be another's.
    pub(crate) fn hashes(&self) -> bool {
        self.reads_back || (self.map.is_some() && !self.is_checked)
    }
}

/// What a disk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Emptying its head.
    Clear,
    /// Writing.
    Write,
    /// Reading back.
    Verify,
    /// Writing the first blocks.
    Finish,
}

/// A disk was not written. It does not boot.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The image does not fit.
    #[error("the image has {image} bytes, the disk {disk}: it does not fit")]
    Size {
        /// Bytes of the image.
        image: u64,
        /// Bytes of the disk.
        disk: u64,
    },
    /// The disk failed.
    #[error("the disk failed at byte {offset} ({stage:?})")]
    Disk {
        /// What it was doing.
        stage: Stage,
        /// Where.
        offset: u64,
        /// How.
        #[source]
        source: io::Error,
    },
    /// What is read is not what was written.
    #[error("at byte {offset} the disk gives back {found}, not what was written")]
    Differs {
        /// Where it begins to differ; the beginning of the range where only that is known.
        offset: u64,
        /// What is there.
        found: Content,
    },
    /// The image is not the one that the map describes, or it could not be read to its end.
    #[error("{0}")]
    Image(String),
}

/// What is where something else was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Zeros: it was never stored.
    #[error("zeros")]
    Zeros,
    /// Ones: erased flash.
    #[error("0xff everywhere")]
    Ones,
    /// Anything else.
    #[error("something else")]
    Other,
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            Self::Zeros
        } else if bytes.iter().all(|byte| *byte == 0xff) {
            Self::Ones
        } else {
            Self::Other
        }
    }
}

/// A disk that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes that were written.
    pub bytes: u64,
    /// Bytes that were read back; 0 if that was not asked for.
    pub read_back: u64,
}

/// A disk on its way.
pub(crate) struct Target<'d> {
    disk: &'d dyn BlockDevice,
    plan: Plan,
    patch: Patch,
    bytes: u64,
    end: u64,
}

impl<'d> Target<'d> {
    /// Empties the head of the disk, so that it does not boot any more, and the end, where a copy of an old
    /// partition table may be.
    pub(crate) fn begin(
        disk: &'d dyn BlockDevice,
        plan: Plan,
        patch: Patch,
    ) -> Result<Self, Failure> {
        let at = |offset| {
            move |source| Failure::Disk {
                stage: Stage::Clear,
                offset,
                source,
            }
        };
        let size = disk.size();
        let image = plan.map.as_ref().map(|map| map.image_size).or(plan.size);
        if let Some(image) = image.filter(|image| *image > size) {
            return Err(Failure::Size { image, disk: size });
        }
        let head = Aligned::new(usize::try_from(HEAD).expect("a megabyte"));
        let empty = &head.bytes()[..usize::try_from(HEAD.min(size)).expect("a megabyte")];
        disk.write_at(empty, 0).map_err(at(0))?;
        disk.flush().map_err(at(0))?;
        // What old data lies behind is forgotten where the disk can; where it cannot, it stays between. Not
        // the head: what is read of forgotten blocks is anything, and it must be empty.
        drop(disk.discard(HEAD.min(size), size.saturating_sub(HEAD)));
        let tail = size.saturating_sub(HEAD) / BLOCK * BLOCK;
        if tail >= HEAD {
            let rest = usize::try_from(size - tail).expect("a megabyte and a block");
            let empty = &head.bytes()[..rest.min(head.bytes().len()) / ALIGNMENT * ALIGNMENT];
            disk.write_at(empty, tail).map_err(at(tail))?;
        }
        Ok(Self {
            disk,
            plan,
            patch,
            bytes: 0,
            end: 0,
        })
    }

    /// Returns how much of the image was taken.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns how many bytes of it were written: those that hold anything.
    pub(crate) fn written(&self) -> u64 {
        self.bytes
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let end = chunk.offset + chunk.bytes().len() as u64;
        if end > self.disk.size() {
            let disk = self.disk.size();
            return Err(Failure::Size { image: end, disk });
        }
        self.end = end;
        let map = self.plan.map.clone();
        for (start, stop, _) in parts(map.as_deref(), chunk.offset, end) {
            self.put(chunk, start, stop)?;
        }
        Ok(())
    }

    /// Writes a part of a piece; what belongs to the head waits.
    fn put(&mut self, chunk: &Chunk, start: u64, stop: u64) -> Result<(), Failure> {
        let place = |offset: u64| usize::try_from(offset - chunk.offset).expect("within a piece");
        self.bytes += stop - start;
        let held = HEAD.clamp(start, stop);
        if held < stop {
            // The last block of the image is filled up with zeros.
            let blocks = &chunk.blocks()[place(held)..];
            let blocks = &blocks[..self.blocks(held, stop)];
            let failed = |source| Failure::Disk {
                stage: Stage::Write,
                offset: held,
                source,
            };
            self.disk.write_at(blocks, held).map_err(failed)?;
        }
        Ok(())
    }

    /// Reads back, writes the head and reads that back.
    pub(crate) fn finish(
        self,
        image: &Image,
        progress: &(dyn Fn(Stage, u64) + Sync),
    ) -> Result<Written, Failure> {
        let at = |stage, offset| {
            move |source| Failure::Disk {
                stage,
                offset,
                source,
            }
        };
        self.disk.flush().map_err(at(Stage::Write, self.end))?;
        let mut read_back = 0;
        if self.plan.reads_back {
            read_back = self.read_back(image, progress)?;
        }
        progress(Stage::Finish, 0);
        let length = self.blocks(0, HEAD.min(self.end));
        let mut head = image.head()[..length].to_vec();
        // What this card has otherwise goes on top of what was read back as the image's.
        for (at, block) in self.patch.blocks() {
            match usize::try_from(*at).ok().and_then(|at| head.get_mut(at..)) {
                Some(there) if *at < HEAD => {
                    let count = there.len().min(block.len());
                    there[..count].copy_from_slice(&block[..count]);
                }
                _ => {
                    let mut memory = Aligned::new(block.len());
                    memory.bytes_mut().copy_from_slice(block);
                    self.put_last(memory.bytes(), *at)?;
                }
            }
        }
        // The first sector has the partition table: without it nothing boots, with it all does. So all
        // else goes first, that of its block too, of which a disk may have stored a part when it fails.
        let mut almost = Aligned::new(length);
        almost.bytes_mut()[SECTOR..].copy_from_slice(&head[SECTOR..]);
        self.put_last(almost.bytes(), 0)?;
        let mut first = Aligned::new(length.min(ALIGNMENT));
        let count = first.bytes().len();
        first.bytes_mut().copy_from_slice(&head[..count]);
        let outcome = self.put_last(first.bytes(), 0);
        if outcome.is_err() {
            // It must not boot; that this cannot be written either is told by the error as well.
            drop(
                self.disk
                    .write_at(&almost.bytes()[..length.min(ALIGNMENT)], 0),
            );
            drop(self.disk.flush());
        }
        outcome?;
        Ok(Written {
            bytes: self.bytes,
            read_back,
        })
    }

    fn put_last(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        let failed = |source| Failure::Disk {
            stage: Stage::Finish,
            offset,
            source,
        };
        self.disk.write_at(bytes, offset).map_err(failed)?;
        self.disk.flush().map_err(failed)?;
        if self.plan.reads_back {
            self.compare(bytes, offset)?;
        }
        Ok(())
    }

    /// Reads all ranges and compares their digests. While one is hashed another is read.
    fn read_back(
        &self,
        image: &Image,
        progress: &(dyn Fn(Stage, u64) + Sync),
    ) -> Result<u64, Failure> {
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = || {
            let mut memory = Aligned::new(CHUNK);
            while let Some(range) = image.ranges().get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut told = |bytes| {
                    let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
                    progress(Stage::Verify, done);
                };
                if let Err(failure) = self.read_range(image, range, &mut memory, &mut told) {
                    // The other one need not go on.
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                    return Err(failure);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(work);
            let own = work();
            let other = other.join().unwrap_or_else(|_panicked| {
                Err(Failure::Image("a thread that reads back ended".into()))
            });
            own.and(other)
        })?;
        Ok(done.into_inner())
    }

    fn read_range(
        &self,
        image: &Image,
        range: &Range,
        memory: &mut Aligned,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let end = range.start + range.length;
        let mut hasher = HashingWriter::new(io::sink());
        for at in (range.start..end).step_by(CHUNK) {
            let length = usize::try_from((end - at).min(CHUNK as u64)).expect("a piece");
            let whole = self.blocks(at, at + length as u64);
            let blocks = &mut memory.bytes_mut()[..whole];
            let failed = |source| Failure::Disk {
                stage: Stage::Verify,
                offset: at,
                source,
            };
            self.disk.read_at(blocks, at).map_err(failed)?;
            // The head is still empty on the disk.
            let held = HEAD.clamp(at, at + length as u64) - at;
            let held = usize::try_from(held).expect("within a piece");
            if held > 0 {
                let from = usize::try_from(at).expect("within the head");
                blocks[..held].copy_from_slice(&image.head()[from..from + held]);
            }
            io::Write::write_all(&mut hasher, &blocks[..length]).expect("a sink takes everything");
            told(length as u64);
        }
        let (_, digest, _) = hasher.finish();
        if digest == range.sha256 {
            return Ok(());
        }
        Err(self.differs(range.start, end))
    }

    /// Returns the bytes of whole blocks that hold a range. The last block of a disk may be a smaller one.
    fn blocks(&self, start: u64, stop: u64) -> usize {
        let end = stop.next_multiple_of(BLOCK).min(self.disk.size());
        usize::try_from(end.max(stop) - start).expect("within a piece")
    }

    /// Looks at what is in a range that differs.
    fn differs(&self, start: u64, end: u64) -> Failure {
        let mut memory = Aligned::new(CHUNK);
        let length = self.blocks(start, end.min(start + CHUNK as u64));
        let blocks = &mut memory.bytes_mut()[..length];
        let found = match self.disk.read_at(blocks, start) {
            Ok(()) => Content::of(blocks),
            Err(_) => Content::Other,
        };
        Failure::Differs {
            offset: start,
            found,
        }
    }

    fn compare(&self, expected: &[u8], offset: u64) -> Result<(), Failure> {
        let mut memory = Aligned::new(expected.len());
        let failed = |source| Failure::Disk {
            stage: Stage::Finish,
            offset,
            source,
        };
        let blocks = memory.bytes_mut();
        self.disk.read_at(blocks, offset).map_err(failed)?;
        let mut pairs = blocks.iter().zip(expected);
        match pairs.position(|(found, expected)| found != expected) {
            None => Ok(()),
            Some(at) => Err(Failure::Differs {
                offset: offset + at as u64,
                found: Content::of(blocks),
            }),
        }
    }
}
