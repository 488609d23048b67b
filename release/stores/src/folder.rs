//! A folder, such as a web server's.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Content, Put, Store, StoreError, join};

/// A folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it lies.
    pub folder: PathBuf,
    /// Where people find it, if anywhere.
    pub address: Option<String>,
}

impl Folder {
    fn write(&self, path: &Path, content: Content<'_>, mode: Put) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)?;
        match content {
            Content::Bytes(bytes) => file.write_all(bytes)?,
            Content::File(from) => drop(io::copy(&mut fs_err::File::open(from)?, &mut file)?),
        }
        file.as_file().sync_all()?;
        // A web server reads it as somebody else.
        fs_err::set_permissions(
            file.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o644),
        )?;
        let persisted = match mode {
            Put::New => file.persist_noclobber(path),
            Put::Replace => file.persist(path),
        };
        persisted.map_err(|error| error.error)?;
        fs_err::File::open(folder)?.sync_all()
    }
}

impl Store for Folder {
    fn read_to(&self, name: &str, to: &mut dyn Write) -> Result<bool, StoreError> {
        let path = self.folder.join(name);
        let mut file = match fs_err::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::read(&path)(error)),
        };
        io::copy(&mut file, to).map_err(StoreError::read(&path))?;
        Ok(true)
    }

    fn put(&self, name: &str, content: Content<'_>, mode: Put) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        self.write(&path, content, mode)
            .map_err(StoreError::io(format!("write {}", path.display())))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(format!("delete {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.folder.join(folder);
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs_err::read_dir(&path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // What is being written has such a name.
                if entry.file_type()?.is_file() && !name.starts_with('.') {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        match list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(StoreError::read(&path)),
        }
    }

    fn modified(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let path = self.folder.join(name);
        match fs_err::metadata(&path) {
            Ok(data) => Ok(Some(data.mtime())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::read(&path)(error)),
        }
    }

    fn local(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name))
    }

    fn address(&self, name: &str) -> String {
        self.public(name)
            .unwrap_or_else(|| self.folder.join(name).display().to_string())
    }

    fn public(&self, name: &str) -> Option<String> {
        Some(join(self.address.as_deref()?, name))
    }
}
