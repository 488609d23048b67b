//! The claim code as a file of the boot partition: whoever holds the card may own the device.

use std::io::{self, Write as _};
use std::path::Path;

use crate::protocol::ClaimText;

const FILE: &str = "claim-code.txt";

/// Writes the file. A device without a boot partition of that kind has its console.
pub fn show(partition: &Path, code: &ClaimText) -> io::Result<()> {
    if !partition.is_dir() {
        return Ok(());
    }
    let text = format!(
        "Claim code: {}\r\n\r\nOpen the device's page and type this code to own it. The file goes away then.\r\n",
        code.as_str()
    );
    let path = partition.join(FILE);
    if fs_err::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let mut file = fs_err::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Takes the file away.
pub fn hide(partition: &Path) -> io::Result<()> {
    match fs_err::remove_file(partition.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_and_goes_and_a_missing_partition_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let code = ClaimText::try_from("AB-23".to_owned()).unwrap();
        show(folder.path(), &code).unwrap();
        let text = fs_err::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.starts_with("Claim code: AB-23\r\n"));
        hide(folder.path()).unwrap();
        hide(folder.path()).unwrap();
        assert!(!folder.path().join(FILE).exists());
        show(&folder.path().join("none"), &code).unwrap();
    }
}
