//! The `.deb` container (deb(5)): an `ar` archive of `debian-binary`, control and data tarballs.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Control tarballs of real packages stay below 20 MiB; a larger one is a decompression bomb.
const LARGEST_CONTROL: u64 = 64 << 20;
/// No real package has more members in its control tarball than a few dozen.
const MOST_CONTROL_FILES: usize = 1024;
const AR_MAGIC: &[u8; 8] = b"!<arch>\n";

/// What is wrong with a package file.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file cannot be read.
    #[error("cannot read the package")]
    Read(#[source] io::Error),
    /// The `ar` structure is broken.
    #[error("not a .deb file: {reason}")]
    Container {
        /// What is broken.
        reason: &'static str,
    },
    /// A tarball uses a compression that dpkg does not know either.
    #[error("member {member} has an unknown compression")]
    Compression {
        /// Name of the member.
        member: String,
    },
    /// The control tarball is larger than any real one.
    #[error("the control tarball is larger than {LARGEST_CONTROL} bytes")]
    ControlTooLarge,
}

/// How a member is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gzip,
    /// `.tar.xz`
    Xz,
    /// `.tar.zst`
    Zstd,
}

/// An open package: the control files are read, the data is not.
#[derive(Debug)]
pub struct DebFile<R> {
    reader: R,
    control: BTreeMap<String, Vec<u8>>,
    data: Member,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    offset: u64,
    size: u64,
    compression: Compression,
}

impl<R: Read + Seek> DebFile<R> {
    /// Reads the container and the control files.
    pub fn open(mut reader: R) -> Result<Self, DebError> {
        let fail = |reason| DebError::Container { reason };
        let length = reader.seek(SeekFrom::End(0)).map_err(DebError::Read)?;
        reader.rewind().map_err(DebError::Read)?;
        let mut magic = [0; 8];
        reader
            .read_exact(&mut magic)
            .map_err(|_malformed| fail("the ar signature is missing"))?;
        if &magic != AR_MAGIC {
            return Err(fail("the ar signature is missing"));
        }
        let (mut control, mut data, mut format) = (None, None, false);
        let mut offset = 8_u64;
        while offset + 60 <= length && data.is_none() {
            let mut header = [0; 60];
            reader
                .seek(SeekFrom::Start(offset))
                .map_err(DebError::Read)?;
            reader.read_exact(&mut header).map_err(DebError::Read)?;
            if &header[58..60] != b"`\n" {
                return Err(fail("a member header is damaged"));
            }
            let text = |range: std::ops::Range<usize>| {
                std::str::from_utf8(&header[range])
                    .unwrap_or_default()
                    .trim()
            };
            let name = text(0..16).trim_end_matches('/').to_owned();
            let size: u64 = text(48..58)
                .parse()
                .map_err(|_malformed| fail("a member size is not a number"))?;
            let start = offset + 60;
            if size > length - start {
                return Err(fail("a member is longer than the file: it was cut"));
            }
            let member = |compression| Member {
                offset: start,
                size,
                compression,
            };
            match name.as_str() {
                "debian-binary" => {
                    let mut version = vec![0; usize::try_from(size.min(16)).expect("at most 16")];
                    reader.read_exact(&mut version).map_err(DebError::Read)?;
                    if !version.starts_with(b"2.") {
                        return Err(fail("its format version is not 2"));
                    }
                    format = true;
                }
                _ if !format => return Err(fail("debian-binary is not the first member")),
                _ if name.starts_with("control.tar") => control = Some(member(compression(&name)?)),
                _ if name.starts_with("data.tar") => data = Some(member(compression(&name)?)),
                // Members whose names begin with an underscore may be ignored (deb(5)).
                _ if name.starts_with('_') => {}
                _ => return Err(fail("it has an unknown member")),
            }
            offset = start + size + size % 2;
        }
        let control = control.ok_or(fail("the control tarball is missing"))?;
        let data = data.ok_or(fail("the data tarball is missing: the file was cut"))?;
        let control = read_control(open_member(&mut reader, control)?)?;
        Ok(Self {
            reader,
            control,
            data,
        })
    }

    /// Returns the control files by name: `control`, `postinst`, `conffiles` and so on.
    pub fn control(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.control
    }

    /// Returns how the data tarball is compressed, and its size in bytes.
    pub fn data_compression(&self) -> (Compression, u64) {
        (self.data.compression, self.data.size)
    }

    /// Returns the data tarball, decompressed.
    pub fn data(&mut self) -> Result<impl Read + '_, DebError> {
        open_member(&mut self.reader, self.data)
    }
}

fn compression(name: &str) -> Result<Compression, DebError> {
    match name.split_once(".tar").map(|(_, suffix)| suffix) {
        Some("") => Ok(Compression::None),
        Some(".gz") => Ok(Compression::Gzip),
        Some(".xz") => Ok(Compression::Xz),
        Some(".zst") => Ok(Compression::Zstd),
        _ => Err(DebError::Compression {
            member: name.to_owned(),
        }),
    }
}

fn open_member<R: Read + Seek>(
    reader: &mut R,
    member: Member,
) -> Result<Box<dyn Read + '_>, DebError> {
    reader
        .seek(SeekFrom::Start(member.offset))
        .map_err(DebError::Read)?;
    let raw = reader.take(member.size);
    Ok(match member.compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(flate2::read::GzDecoder::new(io::BufReader::with_capacity(
            1 << 16,
            raw,
        ))),
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new(raw)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(raw).map_err(DebError::Read)?)
        }
    })
}

fn read_control(tarball: impl Read) -> Result<BTreeMap<String, Vec<u8>>, DebError> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(tarball.take(LARGEST_CONTROL));
    let mut total = 0;
    for entry in archive.entries().map_err(DebError::Read)? {
        let mut entry = entry.map_err(DebError::Read)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.trim_start_matches("./");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(DebError::Container {
                reason: "a control file has a strange name",
            });
        }
        total += entry.size();
        if total > LARGEST_CONTROL || files.len() >= MOST_CONTROL_FILES {
            return Err(DebError::ControlTooLarge);
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(DebError::Read)?;
        files.insert(name.to_owned(), bytes);
    }
    if !files.contains_key("control") {
        return Err(DebError::Container {
            reason: "the control tarball has no control file",
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            "100644",
            bytes.len()
        )
        .into_bytes();
        out.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
        out
    }

    fn sample() -> Vec<u8> {
        let mut tarball = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(11);
        header.set_mode(0o644);
        header.set_cksum();
        tarball
            .append_data(&mut header, "./control", &b"Package: a\n"[..])
            .unwrap();
        let tarball = tarball.into_inner().unwrap();
        let mut deb = AR_MAGIC.to_vec();
        deb.extend(member("debian-binary", b"2.0\n"));
        deb.extend(member("control.tar", &tarball));
        deb.extend(member(
            "data.tar",
            &tar::Builder::new(Vec::new()).into_inner().unwrap(),
        ));
        deb
    }

    #[test]
    fn reads_control_files() {
        let deb = DebFile::open(Cursor::new(sample())).unwrap();
        assert_eq!(deb.control()["control"], b"Package: a\n");
    }

    #[test]
    fn refuses_a_package_cut_anywhere() {
        let whole = sample();
        for length in 0..whole.len() - 1025 {
            assert!(
                DebFile::open(Cursor::new(&whole[..length])).is_err(),
                "cut at {length}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>) {
            bytes.splice(0..0, AR_MAGIC.iter().copied());
            drop(DebFile::open(Cursor::new(bytes)));
        }
    }
}
