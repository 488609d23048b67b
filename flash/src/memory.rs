//! Memory for pieces of an image, at addresses that a disk takes directly. It is used again and again: fresh
//! pages cost as much as unpacking into them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What direct I/O asks of memory (`O_DIRECT` of open(2): the logical block size; 4096 is the largest).
pub(crate) const ALIGNMENT: usize = 4096;

/// Memory at an address that direct I/O takes.
#[derive(Debug)]
pub(crate) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// Makes some that holds zeros.
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Memory that goes back when the last who reads it is done.
#[derive(Debug)]
pub(crate) struct Lent {
    memory: Option<Aligned>,
    free: Free,
}

type Free = Arc<Mutex<Vec<Aligned>>>;

impl Lent {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[][..], Aligned::bytes)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            let free = self.free.lock();
            free.unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

/// Memory in pieces of one size. How many there are is bounded by the queues that they wait in.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    free: Free,
    length: usize,
}

impl Pool {
    pub(crate) fn new(length: usize) -> Self {
        let free = Free::default();
        Self { free, length }
    }

    /// Takes some that is free, or more; at least so many bytes.
    pub(crate) fn take(&self, length: usize) -> Aligned {
        if length > self.length {
            return Aligned::new(length.next_multiple_of(ALIGNMENT));
        }
        let free = self.free.lock();
        let free = free.unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Aligned::new(self.length))
    }

    /// Lends what was taken and filled.
    pub(crate) fn lend(&self, memory: Aligned) -> Arc<Lent> {
        let is_usual = memory.length == self.length;
        let free = if is_usual {
            Arc::clone(&self.free)
        } else {
            Free::default()
        };
        Arc::new(Lent {
            memory: Some(memory),
            free,
        })
    }
}

/// Fills memory as far as the reader goes.
pub(crate) fn fill(reader: &mut dyn io::Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match reader.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
