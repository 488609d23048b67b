//! What the initramfs must hold, and the check that nothing of the build machine is in it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// `e_machine` of AArch64 (ELF for the Arm 64-bit architecture, §5.3).
pub const EM_AARCH64: u16 = 183;
/// Programs for processors other than the one that runs Linux: the firmware of the VideoCore, and
/// BPF programs that the kernel loads.
const OTHER_PROCESSORS: &[u16] = &[95, 137, 247];
/// Longest file name in a cpio archive; the kernel's `PATH_MAX`.
const LONGEST_NAME: u64 = 4096;

/// A program or library for another machine.
#[derive(Debug, thiserror::Error)]
#[error("{path} is for machine type {found}, not AArch64 ({EM_AARCH64})")]
pub struct ForeignElf {
    /// Path in the tree or archive.
    pub path: String,
    /// `e_machine` found.
    pub found: u16,
}

/// Returns the machine type if `head` begins an ELF file.
pub fn elf_machine(head: &[u8]) -> Option<u16> {
    if head.len() < 20 || !head.starts_with(b"\x7fELF") {
        return None;
    }
    let bytes = [head[18], head[19]];
    Some(if head[5] == 2 {
        u16::from_be_bytes(bytes)
    } else {
        u16::from_le_bytes(bytes)
    })
}

/// Walks a tree and returns every ELF file of another machine.
pub fn foreign_elf_in_tree(root: &Path) -> io::Result<Vec<ForeignElf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let mut head = [0; 20];
                let count = fs_err::File::open(entry.path())?.read(&mut head)?;
                check(&mut found, &entry.path(), &head[..count]);
            }
        }
    }
    Ok(found)
}

fn check(found: &mut Vec<ForeignElf>, path: &Path, head: &[u8]) {
    if let Some(machine) =
        elf_machine(head).filter(|m| *m != EM_AARCH64 && !OTHER_PROCESSORS.contains(m))
    {
        found.push(ForeignElf {
            path: path.display().to_string(),
            found: machine,
        });
    }
}

/// Reads an initramfs (cpio newc parts, each perhaps compressed) and returns its entries' names and
/// every ELF file of another machine.
pub fn inspect(file: &Path) -> io::Result<(Vec<PathBuf>, Vec<ForeignElf>)> {
    let bytes = fs_err::read(file)?;
    let (mut names, mut foreign) = (Vec::new(), Vec::new());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        if rest[0] == 0 {
            rest = &rest[1..];
            continue;
        }
        let reader: Box<dyn Read + '_> = match rest {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::new(rest)?),
            [0xfd, b'7', b'z', b'X', ..] => Box::new(liblzma::read::XzDecoder::new(rest)),
            [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(rest)),
            [b'0', b'7', ..] => {
                let length = read_cpio(&mut io::Cursor::new(rest), &mut names, &mut foreign)?;
                rest = &rest[usize::try_from(length)
                    .unwrap_or(usize::MAX)
                    .min(rest.len())..];
                continue;
            }
            _ => {
                return Err(io::Error::other(
                    "the initramfs is neither cpio nor zstd, xz or gzip",
                ));
            }
        };
        // Archives after the magic "TRAILER!!!" of a compressed part belong to the same stream.
        let mut reader = io::BufReader::new(reader);
        read_cpio(&mut reader, &mut names, &mut foreign)?;
        rest = &[];
    }
    Ok((names, foreign))
}

/// Reads one newc archive (Linux: Documentation/driver-api/early-userspace/buffer-format.rst) and
/// returns its length in bytes.
fn read_cpio(
    reader: &mut impl Read,
    names: &mut Vec<PathBuf>,
    foreign: &mut Vec<ForeignElf>,
) -> io::Result<u64> {
    let mut position = 0_u64;
    loop {
        let mut header = [0; 110];
        reader.read_exact(&mut header)?;
        if &header[..6] != b"070701" {
            return Err(io::Error::other("an initramfs entry has no newc header"));
        }
        let field = |index: usize| {
            let text =
                std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).unwrap_or_default();
            u64::from_str_radix(text, 16).map_err(io::Error::other)
        };
        let (size, name_size) = (field(6)?, field(11)?);
        if name_size > LONGEST_NAME {
            return Err(io::Error::other("an initramfs entry has too long a name"));
        }
        let mut name = vec![0; usize::try_from(name_size).expect("at most 4096")];
        reader.read_exact(&mut name)?;
        position += 110 + name_size;
        position += skip_padding(reader, position)?;
        name.pop();
        if name == b"TRAILER!!!" {
            return Ok(position);
        }
        let mut head = Vec::new();
        reader.by_ref().take(size.min(20)).read_to_end(&mut head)?;
        io::copy(
            &mut reader.by_ref().take(size - head.len() as u64),
            &mut io::sink(),
        )?;
        position += size;
        position += skip_padding(reader, position)?;
        let path = PathBuf::from(String::from_utf8_lossy(&name).into_owned());
        check(foreign, &path, &head);
        names.push(path);
    }
}

fn skip_padding(reader: &mut impl Read, position: u64) -> io::Result<u64> {
    let padding = position.wrapping_neg() % 4;
    io::copy(&mut reader.by_ref().take(padding), &mut io::sink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_machines_apart() {
        let mut head = [0; 20];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 62;
        assert_eq!(elf_machine(&head), Some(62));
        head[18] = 183;
        assert_eq!(elf_machine(&head), Some(EM_AARCH64));
        assert_eq!(elf_machine(b"#!/bin/sh"), None);
    }

    #[test]
    fn finds_a_foreign_program_in_an_archive() {
        let mut archive = Vec::new();
        let mut put = |name: &str, data: &[u8]| {
            let size = data.len();
            let mut entry = format!(
                "070701{:08X}{:08X}{:032X}{:08X}{:032X}{:08X}{:08X}",
                1,
                0o100_755,
                0,
                size,
                0,
                name.len() + 1,
                0
            )
            .into_bytes();
            entry.extend(name.as_bytes());
            entry.push(0);
            entry.resize(entry.len().next_multiple_of(4), 0);
            entry.extend(data);
            entry.resize(entry.len().next_multiple_of(4), 0);
            archive.extend(entry);
        };
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        put("bin/foreign", &elf);
        put("bin/script", b"#!/bin/sh\n");
        put("TRAILER!!!", b"");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("i");
        for bytes in [archive.clone(), zstd::encode_all(&archive[..], 1).unwrap()] {
            fs_err::write(&file, bytes).unwrap();
            let (names, foreign) = inspect(&file).unwrap();
            assert_eq!(names.len(), 2);
            assert_eq!(foreign[0].path, "bin/foreign");
        }
    }
}
