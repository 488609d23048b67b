//! Makes the device as if it were new. A mark on disk says that it is to be done, and goes when all is
//! done: whenever the power fails, the next start goes on. On a device with two slots the initramfs finds the mark first, and takes all
//! that either version left (`agent/init/src/reset.rs`).

use std::io;
use std::path::{Path, PathBuf};

/// Name of the mark, in the agent's folder.
const MARK: &str = "factory-reset";

/// Writes the mark. What it asks for is done at the next start.
pub fn mark(state: &Path) -> io::Result<()> {
    let file = fs_err::File::create(state.join(MARK))?;
    file.sync_all()?;
    fs_err::File::open(state)?.sync_all()
}

/// Whether the mark is there.
pub fn is_marked(state: &Path) -> bool {
    state.join(MARK).exists()
}

/// Empties the agent's folder, the mark last.
pub fn empty(state: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(state)? {
        let entry = entry?;
        let path: PathBuf = entry.path();
        if entry.file_name() == MARK {
            continue;
        }
        // A link is removed, not followed.
        if entry.file_type()?.is_dir() {
            match fs_err::remove_dir_all(&path) {
                // Something is mounted there: what was in it is gone.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                removed => removed?,
            }
        } else {
            fs_err::remove_file(&path)?;
        }
    }
    fs_err::File::open(state)?.sync_all()?;
    fs_err::remove_file(state.join(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_goes_and_the_mark_goes_last() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (state, kept) = (state.path(), elsewhere.path().join("kept"));
        fs_err::write(&kept, "x").unwrap();
        fs_err::create_dir_all(state.join("media/.digests")).unwrap();
        fs_err::write(state.join("users.json"), "{}").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), state.join("link")).unwrap();
        assert!(!is_marked(state));
        mark(state).unwrap();
        assert!(is_marked(state) && state.join("users.json").exists());
        empty(state).unwrap();
        assert_eq!(fs_err::read_dir(state).unwrap().count(), 0);
        assert!(kept.exists(), "a link was followed");
    }
}
