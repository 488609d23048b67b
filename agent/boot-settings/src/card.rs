//! Files of the boot partition, which is FAT. A file is not replaced by another one there: the kernel writes which
//! blocks a renamed file has only later, whatever was flushed, and a power cut in between leaves a name that leads
//! to blocks that are free. Bytes are written over those that were there.

use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file over what it was.
pub(crate) fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.write_all(bytes)?;
    // One of the same length, such as `flash` leaves, keeps its blocks.
    let length = u64::try_from(bytes.len()).expect("bytes in memory");
    if file.metadata()?.len() != length {
        file.set_len(length)?;
    }
    file.sync_all()
}
