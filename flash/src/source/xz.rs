//! xz on all processors, all streams of a file (The .xz File Format 1.2, §2: streams follow each other, with
//! zeros between).

use std::io::{self, BufRead as _, BufReader, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

/// Memory for unpacking on several threads; beyond it one is used.
const MEMORY: u64 = 1 << 30;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// Unpacks one stream after the other.
pub(super) struct Streams<R: Read> {
    /// Nothing at the end of the file.
    stream: Option<XzDecoder<BufReader<R>>>,
    threads: u32,
}

impl<R: Read> Streams<R> {
    pub(super) fn new(file: R, threads: u32) -> io::Result<Self> {
        let file = BufReader::with_capacity(BUFFER, file);
        let stream = Some(stream(file, threads)?);
        Ok(Self { stream, threads })
    }
}

fn stream<R: Read>(file: BufReader<R>, threads: u32) -> io::Result<XzDecoder<BufReader<R>>> {
    let decoder = MtStreamBuilder::new()
        .threads(threads)
        .memlimit_threading(MEMORY)
        .memlimit_stop(u64::MAX)
        .decoder()?;
    Ok(XzDecoder::new_stream(file, decoder))
}

impl<R: Read> Read for Streams<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = &mut self.stream {
            let count = stream.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let ended = self.stream.take().expect("it was there");
            self.stream = next(ended.into_inner(), self.threads)?;
        }
        Ok(0)
    }
}

/// Passes over the zeros behind a stream, and begins the next one if there is one.
fn next<R: Read>(
    mut file: BufReader<R>,
    threads: u32,
) -> io::Result<Option<XzDecoder<BufReader<R>>>> {
    loop {
        let there = file.fill_buf()?;
        if there.is_empty() {
            return Ok(None);
        }
        let zeros = there.iter().take_while(|byte| **byte == 0).count();
        if zeros < there.len() {
            file.consume(zeros);
            return stream(file, threads).map(Some);
        }
        file.consume(zeros);
    }
}
