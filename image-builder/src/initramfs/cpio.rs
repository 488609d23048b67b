//! A cpio archive in the form "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

/// An archive in memory. Times are zero and owners root: the same files give the same bytes.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a file, and the folders that it lies in.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        for (at, _) in path.match_indices('/') {
            if self.folders.insert(path[..at].to_owned()) {
                self.entry(&path[..at], 0o040_755, &[]);
            }
        }
        self.entry(path, 0o100_000 | mode, bytes);
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.entries += 1;
        let links = if mode & 0o040_000 == 0 { 1 } else { 2 };
        let size = u32::try_from(bytes.len()).expect("modules and programs are below 4 GiB");
        let name = u32::try_from(path.len() + 1).expect("names are short");
        // c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, four numbers of devices, c_namesize, c_check.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "cpio is the judge")]
    fn cpio_unpacks_it() {
        let mut archive = Archive::default();
        archive.file("lib/a/b.ko", 0o644, b"module");
        archive.file("init", 0o755, b"#!");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("archive");
        fs_err::write(&file, archive.finish()).unwrap();
        let status = std::process::Command::new("cpio")
            .args(["--extract", "--make-directories", "--quiet", "-H", "newc"])
            .current_dir(folder.path())
            .stdin(std::fs::File::open(&file).unwrap())
            .status();
        assert!(status.unwrap().success());
        assert_eq!(
            fs_err::read(folder.path().join("lib/a/b.ko")).unwrap(),
            b"module"
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs_err::metadata(folder.path().join("init"))
                .unwrap()
                .permissions(),
        );
        assert_eq!(mode & 0o777, 0o755);
    }
}
