//! Images from an address. They are fetched whole and checked before a disk is opened, and kept, so that the
//! next card need not wait for the network.

use std::path::{Path, PathBuf};

use artifact_manifest::{ArtifactManifest, Role};
use content_digest::Sha256Digest;
use flash::package::MANIFEST;
use flash::signature::{MINISIGN, SSH, SUMS};
use image_builder::download::{DownloadError, Downloader, Fetched};

use crate::command_error::CommandError;
use crate::ui::{Ui, size};

/// Texts beside an image: a manifest of a large system has less than a tenth.
const LARGEST_TEXT: u64 = 32 << 20;

/// Whether this is an address and no path.
pub(super) fn is_address(image: &str) -> bool {
    image.starts_with("https://") || image.starts_with("http://")
}

/// Fetches what an address names into a folder of the cache. Returns what is there to be flashed.
pub(super) fn fetch(address: &str, cache: &Path, ui: &mut Ui) -> Result<PathBuf, CommandError> {
    let downloader = downloader(address)?;
    let (base, name) = address.rsplit_once('/').unwrap_or((address, ""));
    let is_folder = !is_file(name);
    let base = if is_folder {
        address.trim_end_matches('/')
    } else {
        base
    };
    let folder = cache.join("images").join(Sha256Digest::of(base).short());
    fs_err::create_dir_all(&folder).map_err(CommandError::io("keep the image"))?;
    let from = |name: &str| format!("{base}/{name}");
    // Small and fetched each time: another version may lie at the same address.
    for text in [MANIFEST, SUMS, SSH, MINISIGN] {
        let there = optional(&downloader, &from(text))?;
        put(&folder.join(text), there)?;
    }
    let manifest = match fs_err::read_to_string(folder.join(MANIFEST)) {
        Ok(text) => Some(ArtifactManifest::from_json(&text).map_err(|source| {
            let path = from(MANIFEST).into();
            CommandError::Package(flash::PackageError::Manifest { path, source })
        })?),
        Err(_) if is_folder => {
            return Err(CommandError::Usage {
                text: format!(
                    "{address} has no {MANIFEST}: name the image itself, such as …/x.img.xz"
                ),
            });
        }
        Err(_) => None,
    };
    let wanted = |role| manifest.as_ref().and_then(|manifest| manifest.file(role));
    let image = wanted(Role::Image).filter(|file| is_folder || file.name == name);
    let name = image.map_or(name, |file| file.name.as_str());
    if let Some(map) = wanted(Role::Bmap).filter(|_| image.is_some()) {
        put(
            &folder.join(&map.name),
            Some(text(&downloader, &from(&map.name))?),
        )?;
    }
    let path = folder.join(name);
    let length = match image {
        Some(file) => file.size,
        None => downloader
            .length(&from(name))
            .map_err(CommandError::Download)?,
    };
    let digest = image.map(|file| file.sha256);
    if is_there(&path, length, digest) {
        ui.status(&format!("{} was fetched before", path.display()));
        return Ok(if is_folder { folder } else { path });
    }
    if digest.is_none() {
        // Nothing would tell that it was begun as another image.
        put(&path.with_added_extension("partial"), None)?;
    }
    take(&downloader, &from(name), &path, length, ui)?;
    if let Some(expected) = digest {
        let found = Sha256Digest::of_file(&path).map_err(CommandError::io("read the image"))?;
        if found.0 != expected {
            fs_err::remove_file(&path).map_err(CommandError::io("remove a wrong image"))?;
            return Err(CommandError::Download(DownloadError::HashMismatch {
                url: from(name),
                expected,
                found: found.0,
            }));
        }
    }
    Ok(if is_folder { folder } else { path })
}

/// Only https, and what it leads to as well; plain HTTP to this machine itself, where nobody listens in between.
fn downloader(address: &str) -> Result<Downloader, CommandError> {
    let rest = address.strip_prefix("http://");
    let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    // What stands before an @ is no host, whatever it looks like.
    let host = authority.map(|it| {
        if it.contains('@') {
            it
        } else {
            it.split(':').next().unwrap_or_default()
        }
    });
    let made = match host {
        None => Downloader::over_https(),
        Some("127.0.0.1" | "localhost") => Downloader::new(),
        Some(_) => {
            return Err(CommandError::Usage {
                text: format!("{address}: images are fetched by https alone"),
            });
        }
    };
    made.map_err(CommandError::Download)
}

/// Whether the last part of an address names an image and not a folder.
fn is_file(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".img", ".xz", ".zst", ".gz", ".raw", ".wic"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// A file that was fetched before: the one of the manifest, or one as long as the server says.
fn is_there(path: &Path, length: u64, digest: Option<Sha256Digest>) -> bool {
    match (Sha256Digest::of_file(path), digest) {
        (Ok((found, there)), Some(digest)) => found == digest && there == length,
        // Nothing tells it from another of the same length.
        _ => false,
    }
}

/// Fetches the image beside its name, and gives it that when it is whole.
fn take(
    downloader: &Downloader,
    address: &str,
    path: &Path,
    length: u64,
    ui: &mut Ui,
) -> Result<(), CommandError> {
    ui.status(&format!("Fetching {address} ({})", size(length)));
    let partial = path.with_added_extension("partial");
    let done = std::sync::atomic::AtomicU64::new(0);
    let outcome = std::thread::scope(|scope| {
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let (done, partial) = (&done, &partial);
        let fetching = scope.spawn(move || {
            let _over = over;
            let add = |count| {
                done.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
            };
            downloader.fetch_to(address, partial, length, &add)
        });
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            is_over.recv_timeout(std::time::Duration::from_millis(200))
        {
            let done = done.load(std::sync::atomic::Ordering::Relaxed);
            let text = format!("{} of {}", size(done), size(length));
            let value = serde_json::json!({ "event": "fetch", "done": done, "total": length });
            ui.progress(&text, &value);
        }
        fetching.join()
    });
    outcome
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .map_err(CommandError::Download)?;
    fs_err::rename(&partial, path).map_err(CommandError::io("keep the image"))
}

fn text(downloader: &Downloader, address: &str) -> Result<Vec<u8>, CommandError> {
    match downloader.fetch(address, None, LARGEST_TEXT) {
        Ok(Fetched::New { bytes, .. }) => Ok(bytes),
        Ok(Fetched::NotModified) => Ok(Vec::new()),
        Err(error) => Err(CommandError::Download(error)),
    }
}

fn optional(downloader: &Downloader, address: &str) -> Result<Option<Vec<u8>>, CommandError> {
    match text(downloader, address) {
        Err(CommandError::Download(error)) if error.is_absent() => Ok(None),
        other => other.map(Some),
    }
}

/// Keeps a text, or takes away one of an earlier time.
fn put(path: &Path, bytes: Option<Vec<u8>>) -> Result<(), CommandError> {
    let done = match bytes {
        Some(bytes) => fs_err::write(path, bytes),
        None => match fs_err::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    done.map_err(CommandError::io("keep the image"))
}
