//! Fetches and verifies the indexes of a recipe's sources.
//!
//! ```text
//! indexes/
//!   debian/trixie/InRelease     the newest one that was verified
//!   debian/trixie/state.json    its tag and date: an older one is refused later
//!   by-hash/<sha256>            Packages.xz files
//! ```

use std::io::Read as _;
use std::path::PathBuf;

use apt_repository::package::{self, Package, ParsePackageError};
pub use apt_repository::release::ReleaseError;
use apt_repository::release::{Expectation, IndexFile};
use apt_repository::signature::SignatureError;
use apt_repository::{Keyring, Release, Universe, Verified};
use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::Host;
use crate::download::{DownloadError, Downloader, Fetched};
use crate::recipe::Source;
use crate::store::write_atomically;

/// Debian's is 140 kB; a larger one is an attack on our memory.
const LARGEST_RELEASE: u64 = 16 << 20;
/// Debian's main index is 57 MB unpacked.
const LARGEST_INDEX: u64 = 1 << 30;

/// Indexes could not be had or do not hold.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The download failed.
    #[error("cannot fetch the index of {suite}")]
    Download {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: Box<DownloadError>,
    },
    /// The release does not verify.
    #[error("{url} is refused")]
    Release {
        /// Where it came from.
        url: String,
        /// Why.
        #[source]
        source: Box<ReleaseError>,
    },
    /// A pinned key does not parse.
    #[error("a pinned key of {suite} cannot be read")]
    Key {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: Box<SignatureError>,
    },
    /// The release names no such index.
    #[error("{suite} has no component {component} for {architecture}")]
    NoComponent {
        /// The suite.
        suite: String,
        /// The component.
        component: String,
        /// The architecture.
        architecture: String,
    },
    /// The index cannot be decompressed.
    #[error("the index of {suite} cannot be read")]
    Read {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The index is malformed.
    #[error("the index of {suite} is malformed")]
    Parse {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: ParsePackageError,
    },
    /// The cache cannot be written.
    #[error("cannot write the index cache")]
    Write(#[source] std::io::Error),
}

/// A verified release with where it came from.
#[derive(Debug)]
pub struct VerifiedSource {
    /// The source as the recipe names it.
    pub source: Source,
    /// Its release.
    pub release: Release<Verified>,
    /// Digest of the `InRelease` file.
    pub digest: Sha256Digest,
    base: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    tag: Option<String>,
    newest: Option<i64>,
}

/// Fetches and verifies the releases of all sources at the same time.
pub fn verify_releases(
    host: &Host,
    downloader: &Downloader,
    sources: &[&Source],
) -> Result<Vec<VerifiedSource>, IndexError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = sources
            .iter()
            .map(|source| scope.spawn(move || verify_release(host, downloader, source)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("index threads do not panic"))
            .collect()
    })
}

fn verify_release(
    host: &Host,
    downloader: &Downloader,
    source: &Source,
) -> Result<VerifiedSource, IndexError> {
    let base = host.mirrors.base(&source.archive, source.mirror.as_deref());
    let url = format!("{base}/dists/{}/InRelease", source.suite);
    let folder = host
        .cache_folder("indexes")
        .join(&source.archive)
        .join(&source.suite);
    let state_file = folder.join("state.json");
    let state: State = fs_err::read(&state_file)
        .ok()
        .and_then(|s| serde_json::from_slice(&s).ok())
        .unwrap_or_default();
    let kept = fs_err::read(folder.join("InRelease")).ok();
    // The tag belongs to the mirror that gave it.
    let known = state
        .tag
        .as_deref()
        .and_then(|tag| tag.strip_prefix(&format!("{base} ")))
        .filter(|_| kept.is_some());
    let fetched = downloader
        .fetch(&url, known, LARGEST_RELEASE)
        .map_err(|source_error| IndexError::Download {
            suite: source.suite.clone(),
            source: Box::new(source_error),
        })?;
    let (bytes, tag) = match (fetched, kept) {
        (Fetched::New { bytes, tag }, _) => (bytes, tag.map(|tag| format!("{base} {tag}"))),
        (Fetched::NotModified, Some(kept)) => (kept, state.tag.clone()),
        (Fetched::NotModified, None) => (Vec::new(), None),
    };
    let digest = Sha256Digest::of(&bytes);
    let release = verify_bytes(&bytes, source, host.now, state.newest).map_err(|source| {
        IndexError::Release {
            url,
            source: Box::new(source),
        }
    })?;
    let state = State {
        tag,
        newest: Some(release.date),
    };
    let text = serde_json::to_vec_pretty(&state).expect("plain data");
    fs_err::create_dir_all(&folder)
        .and_then(|()| write_atomically(&folder.join("InRelease"), &bytes))
        .and_then(|()| write_atomically(&state_file, &text))
        .map_err(IndexError::Write)?;
    Ok(VerifiedSource {
        source: source.clone(),
        release,
        digest,
        base,
    })
}

/// Checks the bytes of an `InRelease` file against the pinned keys of its source.
fn verify_bytes(
    bytes: &[u8],
    source: &Source,
    now: i64,
    newest_seen: Option<i64>,
) -> Result<Release<Verified>, ReleaseError> {
    let mut keyring = Keyring::default();
    for key in &source.keys {
        keyring.add_armored(key).map_err(ReleaseError::Signature)?;
    }
    Release::verify(
        bytes,
        &keyring,
        Expectation {
            suite: &source.suite,
            now,
            newest_seen,
        },
    )
}

/// Reads the packages that `sources` offer for one architecture.
pub fn load_universe(
    host: &Host,
    downloader: &Downloader,
    sources: &[VerifiedSource],
    architecture: &str,
) -> Result<Universe, IndexError> {
    let jobs: Vec<(usize, &VerifiedSource, &String)> = sources
        .iter()
        .enumerate()
        .flat_map(|(origin, source)| {
            source
                .source
                .components
                .iter()
                .map(move |component| (origin, source, component))
        })
        .collect();
    let lists: Vec<Vec<Package>> = std::thread::scope(|scope| {
        let threads: Vec<_> = jobs
            .iter()
            .map(|(origin, source, component)| {
                scope.spawn(move || {
                    load_index(host, downloader, source, component, architecture, *origin)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("index threads do not panic"))
            .collect::<Result<_, _>>()
    })?;
    Ok(Universe::new(architecture, lists.into_iter().flatten()))
}

fn load_index(
    host: &Host,
    downloader: &Downloader,
    source: &VerifiedSource,
    component: &str,
    architecture: &str,
    origin: usize,
) -> Result<Vec<Package>, IndexError> {
    let suite = source.source.suite.clone();
    let path = format!("{component}/binary-{architecture}/Packages.xz");
    let Some(index) = source.release.files.get(&path) else {
        return Err(IndexError::NoComponent {
            suite,
            component: component.to_owned(),
            architecture: architecture.to_owned(),
        });
    };
    let file = fetch_index(host, downloader, source, &path, *index)?;
    let mut text = String::new();
    let decoder = liblzma::read::XzDecoder::new_multi_decoder(
        fs_err::File::open(&file).map_err(IndexError::Write)?,
    );
    decoder
        .take(LARGEST_INDEX)
        .read_to_string(&mut text)
        .map_err(|error| IndexError::Read {
            suite: suite.clone(),
            source: error,
        })?;
    package::parse_index(&text, origin).map_err(|error| IndexError::Parse {
        suite,
        source: error,
    })
}

fn fetch_index(
    host: &Host,
    downloader: &Downloader,
    source: &VerifiedSource,
    path: &str,
    index: IndexFile,
) -> Result<PathBuf, IndexError> {
    let folder = host.cache_folder("indexes").join("by-hash");
    let file = folder.join(index.sha256.to_string());
    if Sha256Digest::of_file(&file).is_ok_and(|(digest, _)| digest == index.sha256) {
        return Ok(file);
    }
    let suite = &source.source.suite;
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let url = if source.release.acquire_by_hash {
        format!(
            "{}/dists/{suite}/{parent}/by-hash/SHA256/{}",
            source.base, index.sha256
        )
    } else {
        format!("{}/dists/{suite}/{path}", source.base)
    };
    let fail = |error| IndexError::Download {
        suite: suite.clone(),
        source: Box::new(error),
    };
    let bytes = match downloader.fetch(&url, None, index.size).map_err(fail)? {
        Fetched::New { bytes, .. } => bytes,
        Fetched::NotModified => Vec::new(),
    };
    let found = Sha256Digest::of(&bytes);
    if found != index.sha256 {
        return Err(fail(DownloadError::HashMismatch {
            url,
            expected: index.sha256,
            found,
        }));
    }
    fs_err::create_dir_all(&folder)
        .and_then(|()| write_atomically(&file, &bytes))
        .map_err(IndexError::Write)?;
    Ok(file)
}
