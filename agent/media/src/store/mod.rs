//! The images on disk.
//!
//! ```text
//! media/
//!   debian.iso               whole: its digest was known before it got this name
//!   .digests/debian.iso      SHA-256 in hexadecimal
//!   .partial/windows.iso     on its way; its length is what was received
//!   .partial/windows.iso#    size of the whole
//! ```

use std::collections::BTreeSet;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_helper::ImageName;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use ring::digest::{Context, SHA256};
use serde::Serialize;

use crate::range::Part;

/// Space that uploads leave free: the device needs some for itself.
const RESERVE: u64 = 128 * 1024 * 1024;
/// Bytes that are hashed at a time.
const CHUNK: usize = 256 * 1024;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: ImageName,
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes that are here.
    pub received: u64,
    /// SHA-256 in hexadecimal, once it is whole.
    pub sha256: Option<String>,
}

/// Something that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The disk failed.
    #[error("cannot read or write the image {name}")]
    Io {
        /// The image.
        name: ImageName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is such an image already.
    #[error("there is an image {name} already: delete it first, or choose another name")]
    Exists {
        /// The image.
        name: ImageName,
    },
    /// There is no such image.
    #[error("there is no image {name}")]
    Missing {
        /// The image.
        name: ImageName,
    },
    /// The part does not follow what is here.
    #[error("{received} bytes of {name} are here, the part begins at {first}: go on from there")]
    Gap {
        /// The image.
        name: ImageName,
        /// Bytes that are here.
        received: u64,
        /// Where the part begins.
        first: u64,
    },
    /// The connection ended within the part, or brought too much.
    #[error("the part of {name} was not whole: {received} bytes are here")]
    Cut {
        /// The image.
        name: ImageName,
        /// Bytes that are here.
        received: u64,
    },
    /// There is no room.
    #[error(
        "no room for {size} bytes: {free} are free, and {RESERVE} of them are kept for the device"
    )]
    Full {
        /// Bytes that are wanted.
        size: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The image is not the one that was promised.
    #[error("{name} has SHA-256 {found}, expected was {expected}: it was deleted")]
    Mismatch {
        /// The image.
        name: ImageName,
        /// As promised.
        expected: String,
        /// As it is.
        found: String,
    },
    /// Somebody else uploads it now.
    #[error("{name} is being uploaded already")]
    InUse {
        /// The image.
        name: ImageName,
    },
}

/// The store.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Uploads at work.
    uploads: Mutex<BTreeSet<ImageName>>,
}

impl Store {
    /// Opens the store in a folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        for part in [".digests", ".partial"] {
            fs_err::create_dir_all(folder.join(part))?;
        }
        Ok(Self {
            folder: folder.into(),
            uploads: Mutex::default(),
        })
    }

    /// Lists what is here, whole or not.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (folder, is_whole) in [
            (self.folder.clone(), true),
            (self.folder.join(".partial"), false),
        ] {
            for entry in fs_err::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().into_string().ok();
                let Some(name) = name.and_then(|name| name.parse::<ImageName>().ok()) else {
                    continue;
                };
                let facts = entry.metadata()?;
                // What ends in "#" says the size of another.
                if facts.is_file() && (is_whole || self.size_of(&name).is_some()) {
                    entries.push(Entry {
                        size: self
                            .size_of(&name)
                            .filter(|_| !is_whole)
                            .unwrap_or(facts.len()),
                        received: facts.len(),
                        sha256: if is_whole {
                            self.digest_of(&name)
                        } else {
                            None
                        },
                        name,
                    });
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Returns the bytes that are free for images.
    pub fn free(&self) -> io::Result<u64> {
        let facts = nix::sys::statvfs::statvfs(&self.folder)?;
        let free = facts.blocks_available() * facts.fragment_size();
        Ok(free.saturating_sub(RESERVE))
    }

    /// Takes a part of an image. Returns the entry, with its digest if that made it whole.
    pub async fn receive<E>(
        &self,
        name: &ImageName,
        part: Part,
        expected: Option<&str>,
        content: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    ) -> Result<Entry, MediaError> {
        let io = |source| MediaError::Io {
            name: name.clone(),
            source,
        };
        let mut upload = self.begin(name, part)?;
        let mut left = part.length;
        while let Some(Ok(chunk)) = content.next().await {
            if chunk.len() as u64 > left {
                break;
            }
            left -= chunk.len() as u64;
            // Cards stall for seconds at times: other tasks of this thread go elsewhere.
            tokio::task::block_in_place(|| upload.append(&chunk)).map_err(io)?;
        }
        upload.file.sync_data().map_err(io)?;
        let received = part.first + part.length - left;
        if left > 0 {
            return Err(MediaError::Cut {
                name: name.clone(),
                received,
            });
        }
        if received < part.size {
            return Ok(Entry {
                name: name.clone(),
                size: part.size,
                received,
                sha256: None,
            });
        }
        tokio::task::block_in_place(|| self.finish(name, part.size, expected, upload))
    }

    /// Deletes an image, whole or not.
    pub fn remove(&self, name: &ImageName) -> Result<(), MediaError> {
        if self.lock().contains(name) {
            return Err(MediaError::InUse { name: name.clone() });
        }
        let io = |source| MediaError::Io {
            name: name.clone(),
            source,
        };
        let mut was_there = false;
        for path in [
            self.path(name),
            self.partial(name),
            self.promise(name),
            self.digest(name),
        ] {
            match fs_err::remove_file(path) {
                Ok(()) => was_there = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
        if was_there {
            return Ok(());
        }
        Err(MediaError::Missing { name: name.clone() })
    }

    /// Opens a whole image for reading, and returns its size.
    pub fn open_image(&self, name: &ImageName) -> Result<(fs_err::File, u64), MediaError> {
        if !self.has(name) {
            return Err(MediaError::Missing { name: name.clone() });
        }
        let io = |source| MediaError::Io {
            name: name.clone(),
            source,
        };
        let file = fs_err::File::open(self.path(name)).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        Ok((file, size))
    }

    /// Whether a whole image has this name.
    pub fn has(&self, name: &ImageName) -> bool {
        self.path(name).is_file()
    }

    fn begin(&self, name: &ImageName, part: Part) -> Result<Upload<'_>, MediaError> {
        let io = |source| MediaError::Io {
            name: name.clone(),
            source,
        };
        if self.has(name) {
            return Err(MediaError::Exists { name: name.clone() });
        }
        let mut uploads = self.lock();
        if uploads.contains(name) {
            return Err(MediaError::InUse { name: name.clone() });
        }
        let partial = self.partial(name);
        let is_new = self.size_of(name) != Some(part.size);
        let received = if is_new {
            0
        } else {
            fs_err::metadata(&partial).map_or(0, |facts| facts.len())
        };
        if part.first != received {
            return Err(MediaError::Gap {
                name: name.clone(),
                received,
                first: part.first,
            });
        }
        let free = self.free().map_err(io)?;
        if part.size - received > free {
            return Err(MediaError::Full {
                size: part.size - received,
                free,
            });
        }
        if is_new {
            let promise = part.size.to_string();
            agent_device::durable::write(&self.promise(name), promise.as_bytes()).map_err(io)?;
        }
        let mut options = fs_err::OpenOptions::new();
        options.create(true).write(true).read(true).truncate(is_new);
        let mut file = options.open(&partial).map_err(io)?;
        file.seek(SeekFrom::Start(received)).map_err(io)?;
        uploads.insert(name.clone());
        let hasher = (received == 0).then(|| Context::new(&SHA256));
        Ok(Upload {
            store: self,
            name: name.clone(),
            file,
            hasher,
        })
    }

    fn finish(
        &self,
        name: &ImageName,
        size: u64,
        expected: Option<&str>,
        mut upload: Upload<'_>,
    ) -> Result<Entry, MediaError> {
        let io = |source| MediaError::Io {
            name: name.clone(),
            source,
        };
        let sha256 = upload.digest().map_err(io)?;
        if let Some(expected) = expected.filter(|expected| !expected.eq_ignore_ascii_case(&sha256))
        {
            drop(upload);
            self.remove(name)?;
            return Err(MediaError::Mismatch {
                name: name.clone(),
                expected: expected.to_owned(),
                found: sha256,
            });
        }
        agent_device::durable::write(&self.digest(name), sha256.as_bytes()).map_err(io)?;
        fs_err::rename(self.partial(name), self.path(name)).map_err(io)?;
        fs_err::remove_file(self.promise(name)).map_err(io)?;
        let folder = fs_err::File::open(&self.folder).map_err(io)?;
        folder.sync_all().map_err(io)?;
        Ok(Entry {
            name: name.clone(),
            size,
            received: size,
            sha256: Some(sha256),
        })
    }

    fn path(&self, name: &ImageName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn partial(&self, name: &ImageName) -> PathBuf {
        self.folder.join(".partial").join(name.as_str())
    }

    fn promise(&self, name: &ImageName) -> PathBuf {
        self.folder.join(".partial").join(format!("{name}#"))
    }

    fn digest(&self, name: &ImageName) -> PathBuf {
        self.folder.join(".digests").join(name.as_str())
    }

    fn size_of(&self, name: &ImageName) -> Option<u64> {
        fs_err::read_to_string(self.promise(name))
            .ok()?
            .parse()
            .ok()
    }

    fn digest_of(&self, name: &ImageName) -> Option<String> {
        fs_err::read_to_string(self.digest(name)).ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ImageName>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload at work.
struct Upload<'a> {
    store: &'a Store,
    name: ImageName,
    file: fs_err::File,
    /// Of all that is here; nothing if an earlier attempt brought a part.
    hasher: Option<Context>,
}

impl Upload<'_> {
    fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        Ok(())
    }

    fn digest(&mut self) -> io::Result<String> {
        let context = match self.hasher.take() {
            Some(context) => context,
            None => self.read_all()?,
        };
        Ok(hex::encode(context.finish().as_ref()))
    }

    fn read_all(&mut self) -> io::Result<Context> {
        let mut context = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK];
        self.file.seek(SeekFrom::Start(0))?;
        loop {
            match self.file.read(&mut chunk)? {
                0 => return Ok(context),
                length => context.update(&chunk[..length]),
            }
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.store.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests;
