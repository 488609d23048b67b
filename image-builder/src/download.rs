//! HTTP downloads: conditional, resumable, retried. What comes back is not trusted here.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use content_digest::Sha256Digest;
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header;

/// Tries for one file. With the pauses below, an outage of about 8 s is ridden out.
const TRIES: u32 = 5;
/// First pause between tries; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A mirror that sends nothing for so long is given up for this try.
const STALL: Duration = Duration::from_secs(30);

/// A download that failed for good.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The connection or the transfer failed in every try.
    #[error("cannot download {url} ({tries} tries)")]
    Transfer {
        /// What was asked for.
        url: String,
        /// How often.
        tries: u32,
        /// The last failure.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with an error in every try.
    #[error("{url}: the mirror answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The transfer ended early in every try.
    #[error("{url}: got {found} of {expected} bytes ({tries} tries)")]
    Short {
        /// What was asked for.
        url: String,
        /// Bytes received.
        found: u64,
        /// Bytes expected.
        expected: u64,
        /// How often.
        tries: u32,
    },
    /// The content is not what was asked for.
    #[error(
        "{url}: its SHA-256 is {found}, but {expected} was expected: the mirror is broken or hostile"
    )]
    HashMismatch {
        /// What was asked for.
        url: String,
        /// Expected digest.
        expected: Sha256Digest,
        /// Digest found.
        found: Sha256Digest,
    },
    /// The file is larger than any file of its kind.
    #[error("{url}: more than {limit} bytes are refused")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// Limit in bytes.
        limit: u64,
    },
    /// The server does not say how long the file is.
    #[error(
        "{url}: the server does not say how long it is, so nobody could tell that it came whole"
    )]
    NoLength {
        /// What was asked for.
        url: String,
    },
    /// The local file cannot be written.
    #[error("cannot store a download")]
    Write(#[source] std::io::Error),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

impl DownloadError {
    /// Returns whether the mirror says that it has no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status, .. } if matches!(status.as_u16(), 404 | 410))
    }
}

/// Fetches files over HTTP.
#[derive(Debug, Clone)]
pub struct Downloader {
    client: Client,
}

/// The answer to a conditional request.
#[derive(Debug)]
pub enum Fetched {
    /// The file has not changed since the tag was given.
    NotModified,
    /// The file, and its tag.
    New {
        /// Contents.
        bytes: Vec<u8>,
        /// `ETag` or `Last-Modified`, to be handed in next time.
        tag: Option<String>,
    },
}

enum Attempt<T> {
    Done(T),
    Again(DownloadError),
}

impl Downloader {
    /// Sets up the client. TLS roots are the host's.
    pub fn new() -> Result<Self, DownloadError> {
        Self::with(false)
    }

    /// The same, and nothing is fetched otherwise than by https, wherever a server sends it.
    pub fn over_https() -> Result<Self, DownloadError> {
        Self::with(true)
    }

    fn with(only_https: bool) -> Result<Self, DownloadError> {
        // A second installation fails, and then there is a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .user_agent(concat!("bakelite/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(None)
            .https_only(only_https)
            .tcp_keepalive(STALL)
            .build()
            .map_err(DownloadError::Client)?;
        Ok(Self { client })
    }

    /// Fetches a small file into memory, unless it still has the tag `known`.
    pub fn fetch(
        &self,
        url: &str,
        known: Option<&str>,
        limit: u64,
    ) -> Result<Fetched, DownloadError> {
        retry(|tries| {
            let mut request = self.client.get(url).timeout(STALL * 4);
            if let Some(tag) = known {
                let name = if tag.contains('"') {
                    header::IF_NONE_MATCH
                } else {
                    header::IF_MODIFIED_SINCE
                };
                request = request.header(name, tag);
            }
            let response = match send(url, tries, request) {
                Attempt::Done(Ok(response)) => response,
                Attempt::Done(Err(error)) => return Attempt::Done(Err(error)),
                Attempt::Again(error) => return Attempt::Again(error),
            };
            if response.status() == StatusCode::NOT_MODIFIED {
                return Attempt::Done(Ok(Fetched::NotModified));
            }
            let expected = response.content_length();
            let tag = [header::ETAG, header::LAST_MODIFIED]
                .iter()
                .find_map(|name| Some(response.headers().get(name)?.to_str().ok()?.to_owned()));
            let mut bytes = Vec::new();
            let read = response.take(limit + 1).read_to_end(&mut bytes);
            if bytes.len() as u64 > limit {
                return Attempt::Done(Err(DownloadError::TooLarge {
                    url: url.to_owned(),
                    limit,
                }));
            }
            let found = bytes.len() as u64;
            match expected {
                Some(expected) if found < expected || read.is_err() => {
                    Attempt::Again(DownloadError::Short {
                        url: url.to_owned(),
                        found,
                        expected,
                        tries,
                    })
                }
                None if read.is_err() => Attempt::Again(DownloadError::Short {
                    url: url.to_owned(),
                    found,
                    expected: found + 1,
                    tries,
                }),
                _ => Attempt::Done(Ok(Fetched::New { bytes, tag })),
            }
        })
    }

    /// Asks how long a file is.
    pub fn length(&self, url: &str) -> Result<u64, DownloadError> {
        retry(|tries| {
            let request = self.client.head(url).timeout(STALL);
            let response = match send(url, tries, request) {
                Attempt::Done(Ok(response)) => response,
                Attempt::Done(Err(error)) => return Attempt::Done(Err(error)),
                Attempt::Again(error) => return Attempt::Again(error),
            };
            // The client's own count is that of the body, which an answer to HEAD has not.
            let length = response.headers().get(header::CONTENT_LENGTH);
            let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
            Attempt::Done(length.ok_or_else(|| DownloadError::NoLength {
                url: url.to_owned(),
            }))
        })
    }

    /// Fetches into `file`, going on where an earlier try ended. The caller checks the digest.
    /// `progress` gets the bytes received since its last call.
    pub fn fetch_to(
        &self,
        url: &str,
        file: &Path,
        size: u64,
        progress: &dyn Fn(u64),
    ) -> Result<(), DownloadError> {
        retry(|tries| {
            let mut output = match fs_err::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(file)
            {
                Ok(output) => output,
                Err(error) => return Attempt::Done(Err(DownloadError::Write(error))),
            };
            let mut have = output.seek(SeekFrom::End(0)).unwrap_or(0);
            if have > size {
                have = 0;
            }
            if have == size {
                return Attempt::Done(Ok(()));
            }
            let mut request = self.client.get(url);
            if have > 0 {
                request = request.header(header::RANGE, format!("bytes={have}-"));
            }
            let mut response = match send(url, tries, request) {
                Attempt::Done(Ok(response)) => response,
                Attempt::Done(Err(error)) => return Attempt::Done(Err(error)),
                Attempt::Again(error) => return Attempt::Again(error),
            };
            if response.status() != StatusCode::PARTIAL_CONTENT {
                have = 0;
            }
            let prepared = output
                .set_len(have)
                .and_then(|()| output.seek(SeekFrom::Start(have)));
            if let Err(error) = prepared {
                return Attempt::Done(Err(DownloadError::Write(error)));
            }
            let mut buffer = vec![0; 1 << 17];
            while have < size {
                let room = usize::try_from(size - have)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                match response.read(&mut buffer[..room]) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        if let Err(error) = output.write_all(&buffer[..count]) {
                            return Attempt::Done(Err(DownloadError::Write(error)));
                        }
                        have += count as u64;
                        progress(count as u64);
                    }
                }
            }
            if have < size {
                return Attempt::Again(DownloadError::Short {
                    url: url.to_owned(),
                    found: have,
                    expected: size,
                    tries,
                });
            }
            Attempt::Done(Ok(()))
        })
    }
}

fn send(
    url: &str,
    tries: u32,
    request: reqwest::blocking::RequestBuilder,
) -> Attempt<Result<Response, DownloadError>> {
    let url = url.to_owned();
    match request.send() {
        Err(source) => Attempt::Again(DownloadError::Transfer { url, tries, source }),
        Ok(response) => match response.status() {
            status if status.is_success() || status == StatusCode::NOT_MODIFIED => {
                Attempt::Done(Ok(response))
            }
            status if status.is_server_error() || status.as_u16() == 429 => {
                Attempt::Again(DownloadError::Status { url, status })
            }
            status => Attempt::Done(Err(DownloadError::Status { url, status })),
        },
    }
}

fn retry<T>(
    mut attempt: impl FnMut(u32) -> Attempt<Result<T, DownloadError>>,
) -> Result<T, DownloadError> {
    let mut pause = FIRST_PAUSE;
    for tries in 1.. {
        match attempt(tries) {
            Attempt::Done(result) => return result,
            Attempt::Again(error) if tries == TRIES => return Err(error),
            Attempt::Again(_) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
        }
    }
    unreachable!("the loop ends by returning")
}
