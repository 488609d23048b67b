//! Zstandard on all processors. A file may hold many frames (RFC 8878 §3), as those of the image builder do;
//! each is unpacked by itself. Frames that are too large for that, or do not say how large they are, are
//! unpacked one after the other.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::{ALIGNMENT, Lent, Pool, fill};
use crate::write::CHUNK;

/// `Magic_Number` of a frame (RFC 8878 §3.1.1).
const MAGIC: u32 = 0xfd2f_b528;
/// `Magic_Number` of a skippable frame; the lowest four bits are anything (RFC 8878 §3.1.2).
const SKIPPABLE: u32 = 0x184d_2a50;
/// A larger frame, packed or unpacked, is not held in memory.
const LARGEST: usize = 32 << 20;
/// Bytes that are read at once.
const STEP: usize = 256 << 10;

/// Memory for a piece, if it needs no more: the image builder's largest piece.
const USUAL: usize = 16 << 20;

/// What was unpacked.
struct Piece {
    memory: Arc<Lent>,
    length: usize,
}

type Unpacked = io::Result<Piece>;

/// Unpacks frames on threads of its own, and gives their contents in order.
pub(super) struct Frames {
    pieces: Receiver<Receiver<Unpacked>>,
    piece: Option<Piece>,
    at: usize,
}

struct Job {
    frame: Vec<u8>,
    size: usize,
    piece: SyncSender<Unpacked>,
}

impl Frames {
    /// Begins to unpack.
    pub(super) fn new(file: impl Read + Send + 'static, threads: usize) -> Self {
        let threads = threads.max(1);
        let (outlet, pieces) = sync_channel(threads);
        let (jobs, inlet) = sync_channel::<Job>(1);
        let inlet = Arc::new(Mutex::new(inlet));
        let pool = Pool::new(USUAL);
        for _ in 0..threads {
            let (inlet, pool) = (Arc::clone(&inlet), pool.clone());
            std::thread::spawn(move || work(&inlet, &pool));
        }
        std::thread::spawn(move || split(file, &jobs, &outlet));
        Self {
            pieces,
            piece: None,
            at: 0,
        }
    }

    /// Goes to the next piece if this one was read. Returns how much of it is left; 0 at the end.
    fn advance(&mut self) -> io::Result<usize> {
        loop {
            let left = self
                .piece
                .as_ref()
                .map_or(0, |piece| piece.length - self.at);
            if left > 0 {
                return Ok(left);
            }
            self.piece = None;
            let Ok(next) = self.pieces.recv() else {
                return Ok(0);
            };
            let ended = |_| io::Error::other("a thread that unpacks ended unexpectedly");
            self.piece = Some(next.recv().map_err(ended)??);
            self.at = 0;
        }
    }

    /// Returns whole blocks where they lie.
    pub(super) fn next_blocks(
        &mut self,
        limit: usize,
    ) -> io::Result<Option<(Arc<Lent>, usize, usize)>> {
        let length = self.advance()?.min(limit) / ALIGNMENT * ALIGNMENT;
        let at = self.at;
        let is_aligned = length > 0 && at.is_multiple_of(ALIGNMENT);
        let piece = self.piece.as_ref().filter(|_| is_aligned);
        let blocks = piece.map(|piece| (Arc::clone(&piece.memory), at, length));
        if blocks.is_some() {
            self.at += length;
        }
        Ok(blocks)
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.advance()?.min(buffer.len());
        if let Some(piece) = &self.piece {
            let bytes = &piece.memory.bytes()[self.at..self.at + count];
            buffer[..count].copy_from_slice(bytes);
        }
        self.at += count;
        Ok(count)
    }
}

/// Unpacks what comes.
fn work(jobs: &Mutex<Receiver<Job>>, pool: &Pool) {
    let Ok(mut decompressor) = zstd::bulk::Decompressor::new() else {
        return;
    };
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { frame, size, piece }) = job else {
            return;
        };
        let mut memory = pool.take(size);
        let bytes = &mut memory.bytes_mut()[..size];
        let unpacked = decompressor.decompress_to_buffer(&frame, bytes);
        let memory = pool.lend(memory);
        // Nobody waits for it any more where reading was given up.
        drop(piece.send(unpacked.map(|length| Piece { memory, length })));
    }
}

/// Cuts the file into frames and hands them out.
fn split(mut file: impl Read, jobs: &SyncSender<Job>, pieces: &SyncSender<Receiver<Unpacked>>) {
    let mut bytes = Vec::new();
    // Whoever reads is gone if a piece cannot be sent: then this ends.
    let give = |unpacked: Unpacked| {
        let (piece, waiting) = sync_channel(1);
        piece.send(unpacked).is_ok() && pieces.send(waiting).is_ok()
    };
    loop {
        match next(&mut file, &mut bytes) {
            Ok(Next::End) => return,
            Ok(Next::Skipped) => {}
            Ok(Next::Frame(frame, size)) => {
                let (piece, waiting) = sync_channel(1);
                if jobs.send(Job { frame, size, piece }).is_err() || pieces.send(waiting).is_err() {
                    return;
                }
            }
            Ok(Next::Unwieldy) => {
                let rest = io::Cursor::new(std::mem::take(&mut bytes)).chain(file);
                in_order(rest, &give);
                return;
            }
            Err(error) => {
                give(Err(error));
                return;
            }
        }
    }
}

/// Unpacks what is left on this thread.
fn in_order(rest: impl Read, give: &dyn Fn(Unpacked) -> bool) {
    let mut decoder = match zstd::Decoder::new(rest) {
        Ok(decoder) => decoder,
        Err(error) => {
            give(Err(error));
            return;
        }
    };
    let pool = Pool::new(CHUNK);
    loop {
        let mut memory = pool.take(CHUNK);
        match fill(&mut decoder, memory.bytes_mut()) {
            Ok(0) => return,
            Ok(length) => {
                let memory = pool.lend(memory);
                if !give(Ok(Piece { memory, length })) {
                    return;
                }
            }
            Err(error) => {
                give(Err(error));
                return;
            }
        }
    }
}

enum Next {
    /// A whole frame, and the size of its content.
    Frame(Vec<u8>, usize),
    /// A frame without content was passed over.
    Skipped,
    /// A frame that is not unpacked by itself begins here.
    Unwieldy,
    /// The file ends.
    End,
}

/// Takes the next frame from the beginning of `bytes`, and what more it needs from the file.
fn next(file: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Next> {
    if !need(file, bytes, 1)? {
        return Ok(Next::End);
    }
    let cut = || {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file was cut within a frame",
        )
    };
    // The longest header has 18 bytes; the shortest frame may be shorter than that.
    need(file, bytes, 18)?;
    let field = |at: usize, length: usize| -> io::Result<u64> {
        let field = bytes.get(at..at + length).ok_or_else(cut)?;
        let mut number = [0; 8];
        number[..length].copy_from_slice(field);
        Ok(u64::from_le_bytes(number))
    };
    let magic = field(0, 4)?;
    if magic & 0xffff_fff0 == u64::from(SKIPPABLE) {
        let length = 8 + field(4, 4)?;
        return skip(file, bytes, length);
    }
    if magic != u64::from(MAGIC) {
        let text = "something else follows the Zstandard frames";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let descriptor = field(4, 1)?;
    let is_single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::try_from(descriptor & 3).expect("two bits")];
    let size = match (descriptor >> 6, is_single) {
        (0, false) => return Ok(Next::Unwieldy),
        (0, true) => 1,
        (flag, _) => 1 << flag,
    };
    let at = 5 + usize::from(!is_single) + dictionary;
    // Two bytes count from 256 (RFC 8878 §3.1.1.1.4).
    let content = field(at, size)? + if size == 2 { 256 } else { 0 };
    let content = usize::try_from(content).unwrap_or(usize::MAX);
    if content > LARGEST || dictionary > 0 {
        return Ok(Next::Unwieldy);
    }
    let mut end = at + size;
    loop {
        if !need(file, bytes, end + 3)? {
            return Err(cut());
        }
        let header = u32::from_le_bytes([bytes[end], bytes[end + 1], bytes[end + 2], 0]);
        let length = usize::try_from(header >> 3).expect("21 bits");
        // A block of one repeated byte has just that (RFC 8878 §3.1.1.2.2).
        let is_repeated = header >> 1 & 3 == 1;
        end += 3 + if is_repeated { 1 } else { length };
        if end > LARGEST {
            return Ok(Next::Unwieldy);
        }
        if header & 1 == 1 {
            break;
        }
    }
    end += if descriptor & 4 == 0 { 0 } else { 4 };
    if !need(file, bytes, end)? {
        return Err(cut());
    }
    let rest = bytes.split_off(end);
    Ok(Next::Frame(std::mem::replace(bytes, rest), content))
}

/// Reads until there are so many bytes. Says whether there are.
fn need(file: &mut impl Read, bytes: &mut Vec<u8>, length: usize) -> io::Result<bool> {
    while bytes.len() < length {
        let wanted = u64::try_from((length - bytes.len()).max(STEP)).expect("a small number");
        if file.by_ref().take(wanted).read_to_end(bytes)? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Passes over so many bytes, some of which were read already.
fn skip(file: &mut impl Read, bytes: &mut Vec<u8>, length: u64) -> io::Result<Next> {
    let there = u64::try_from(bytes.len())
        .expect("bytes in memory")
        .min(length);
    bytes.drain(..usize::try_from(there).expect("bytes in memory"));
    let left = length - there;
    if io::copy(&mut file.by_ref().take(left), &mut io::sink())? < left {
        let text = "the file was cut within a skippable frame";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Ok(Next::Skipped)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut frames = Frames::new(io::Cursor::new(bytes.to_vec()), 2);
        frames.read_to_end(&mut all).map(|_| all)
    }

    /// A frame that does not say how large it is, as a stream has.
    fn streamed(piece: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(piece).unwrap();
        encoder.finish().unwrap()
    }

    fn known(piece: &[u8], has_check_sum: bool) -> Vec<u8> {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_checksum(has_check_sum).unwrap();
        compressor.compress(piece).unwrap()
    }

    fn skippable(length: usize) -> Vec<u8> {
        let mut frame = (SKIPPABLE + 7).to_le_bytes().to_vec();
        frame.extend(u32::try_from(length).unwrap().to_le_bytes());
        frame.resize(8 + length, 0x55);
        frame
    }

    proptest! {
        #[test]
        fn frames_of_every_kind_give_what_the_library_gives(
            parts in prop::collection::vec((0..5_u8, prop_oneof![0..300_usize, 0..900_000_usize], any::<u8>()), 0..7),
            cut in 0..100_000_usize,
        ) {
            let (mut file, mut image) = (Vec::new(), Vec::new());
            for (kind, length, seed) in parts {
                let noise = (0..length).map(|n| seed.wrapping_add(u8::try_from(n * n / 97 % 251).unwrap()));
                let piece: Vec<u8> = if kind == 4 { vec![seed; length] } else { noise.collect() };
                match kind {
                    0 => file.extend(streamed(&piece)),
                    1 => file.extend(skippable(length)),
                    other => file.extend(known(&piece, other == 2)),
                }
                if kind != 1 {
                    image.extend(piece);
                }
            }
            prop_assert!(unpack(&file).unwrap() == image);
            // Cut anywhere: an error or what a whole number of frames holds, as the library has it.
            file.truncate(cut);
            prop_assume!(!file.is_empty());
            let expected = zstd::decode_all(&file[..]).ok();
            prop_assert_eq!(unpack(&file).ok().map(|it| it.len()), expected.map(|it| it.len()));
        }
    }

    #[test]
    fn damage_is_an_error() {
        let piece: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = known(&piece, true);
        file.extend(known(&piece, true));
        assert_eq!(unpack(&file).unwrap().len(), 24_000_000);
        let middle = file.len() * 3 / 4;
        file[middle] ^= 0x10;
        assert!(unpack(&file).is_err());
        file.truncate(20);
        assert!(unpack(&file).is_err());
        let mut followed = known(&piece, false);
        followed.extend(b"and so on");
        assert!(unpack(&followed).is_err());
    }

    #[test]
    fn a_frame_that_says_too_little_is_an_error_and_gives_no_more() {
        // The content is larger than its header says.
        let mut file = known(&[1; 200], false);
        assert_eq!(file[5], 200, "the size of the content is one byte");
        file[5] = 100;
        assert!(unpack(&file).is_err());
    }
}
