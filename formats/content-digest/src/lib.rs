//! SHA-256 digests of content: in, bytes; out, a [`Sha256Digest`]. Never decides what is trusted.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("“{found}” is not a SHA-256 digest of 64 hexadecimal digits")]
pub struct ParseDigestError {
    /// The text that was found.
    pub found: String,
}

impl Sha256Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// Reads a whole file and returns its digest and its length in bytes.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        let mut reader = HashingReader::new(fs_err::File::open(path)?);
        let length = io::copy(&mut reader, &mut io::sink())?;
        Ok((reader.finish(), length))
    }

    /// Returns the raw 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits: enough to name a cache entry.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl From<[u8; 32]> for Sha256Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(ParseDigestError {
                found: text.to_owned(),
            }),
        }
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Collects parts into one digest; every part is prefixed with its length, so that no two
/// sequences of parts give the same bytes.
#[derive(Clone, Default)]
pub struct DigestBuilder(Sha256);

impl DigestBuilder {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one part.
    pub fn part(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Returns the digest of all parts.
    pub fn finish(&self) -> Sha256Digest {
        Sha256Digest(self.0.clone().finalize().into())
    }
}

impl fmt::Debug for DigestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestBuilder")
    }
}

/// Hashes what is read through it.
pub struct HashingReader<R> {
    inner: R,
    hash: Sha256,
    length: u64,
}

impl<R> HashingReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            length: 0,
        }
    }

    /// Returns how many bytes were read.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of the bytes read so far.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.hash.finalize().into())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

/// Hashes what is written through it.
pub struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W> HashingWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            length: 0,
        }
    }

    /// Returns the inner writer, the digest and the length in bytes.
    pub fn finish(self) -> (W, Sha256Digest, u64) {
        (
            self.inner,
            Sha256Digest(self.hash.finalize().into()),
            self.length,
        )
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hash.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R> fmt::Debug for HashingReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashingReader({} bytes)", self.length)
    }
}

impl<W> fmt::Debug for HashingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashingWriter({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_the_example_of_fips_180_4() {
        assert_eq!(
            Sha256Digest::of("abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn parts_that_join_to_the_same_text_have_different_digests() {
        let one = DigestBuilder::new().part("ab").part("c").finish();
        let two = DigestBuilder::new().part("a").part("bc").finish();
        assert_ne!(one, two);
    }

    proptest! {
        #[test]
        fn reading_and_writing_agree_with_hashing_at_once(bytes: Vec<u8>) {
            let mut reader = HashingReader::new(&bytes[..]);
            let mut writer = HashingWriter::new(Vec::new());
            io::copy(&mut reader, &mut writer).unwrap();
            let (copy, digest, length) = writer.finish();
            prop_assert_eq!(length, bytes.len() as u64);
            prop_assert_eq!(&copy, &bytes);
            prop_assert_eq!(reader.finish(), digest);
            prop_assert_eq!(digest, Sha256Digest::of(&bytes));
            prop_assert_eq!(digest.to_string().parse::<Sha256Digest>().unwrap(), digest);
        }
    }
}
