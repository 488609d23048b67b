//! What another computer asks of a device: its updates, over HTTPS. In: an address, a token, the fingerprint that the device's console
//! shows. Out: how it stands. Believes no certificate but that one.

mod pin;

use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use agent_update::protocol::{View, When};
use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

pub use pin::Fingerprint;
use pin::Pinned;

/// A device that does not answer by then is switched off, or restarting.
const PATIENCE: Duration = Duration::from_secs(20);
/// Part of a file that is sent in one request, in bytes.
const PART: u64 = 4 << 20;

/// A token. It cannot be printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token as its owner got it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The device cannot be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It shows another certificate.
    #[error(
        "{host} shows a certificate with the fingerprint {shown}, and not the one that is known: either the device was set up anew, or something else answers in its place"
    )]
    Other {
        /// Who was asked.
        host: String,
        /// What it shows.
        shown: Fingerprint,
    },
    /// Nobody said which certificate is right.
    #[error("{host} shows a certificate with the fingerprint {shown}")]
    Unknown {
        /// Who was asked.
        host: String,
        /// What it shows.
        shown: Fingerprint,
    },
    /// It does not answer.
    #[error("{host} does not answer")]
    Silent {
        /// Who was asked.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It says no.
    #[error("{host}: {message}")]
    Refused {
        /// Who was asked.
        host: String,
        /// What it says.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// It began, and could not do it.
    #[error("{host}: {message}")]
    Problem {
        /// Who was asked.
        host: String,
        /// What it says.
        message: String,
    },
    /// A file of this machine.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl DeviceError {
    /// Whether the device may be restarting: it is asked again.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Sent {
    received: u64,
}

/// A device.
#[derive(Debug)]
pub struct Device {
    host: String,
    token: Token,
    pinned: Pinned,
    client: Client,
}

impl Device {
    /// Takes the device at a name or an address, perhaps with a port. Without a fingerprint the first question fails with the one that
    /// the device shows.
    pub fn new(
        host: &str,
        token: Token,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Self, rustls::Error> {
        let pinned = Pinned::new(fingerprint);
        let client = Client::builder()
            .tls_backend_preconfigured(pinned.config()?)
            .https_only(true)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self {
            host: host.to_owned(),
            token,
            pinned,
            client,
        })
    }

    /// Returns its name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Tells how its updates stand.
    pub fn view(&self) -> Result<View, DeviceError> {
        self.ask(Method::GET, "update", None)
    }

    /// Has it look at its channel.
    pub fn look(&self) -> Result<View, DeviceError> {
        self.ask(Method::POST, "update/look", None)
    }

    /// Has it count what the offer would cost.
    pub fn plan(&self) -> Result<View, DeviceError> {
        self.ask(Method::POST, "update/plan", None)
    }

    /// Has it install what it offered.
    pub fn install(&self, version: &str, when: When) -> Result<View, DeviceError> {
        let body = json!({ "version": version, "when": when });
        self.ask(Method::POST, "update/install", Some(&body))
    }

    /// Sends a bundle and has it installed. `sent` is told how many bytes are there.
    pub fn install_file(
        &self,
        path: &Path,
        sent: &mut dyn FnMut(u64, u64),
    ) -> Result<View, DeviceError> {
        let failed = |source| DeviceError::File {
            path: path.display().to_string(),
            source,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut file = fs_err::File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut at = 0;
        while at < size {
            let length = PART.min(size - at);
            let mut part = Vec::new();
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            (&mut file)
                .take(length)
                .read_to_end(&mut part)
                .map_err(failed)?;
            let range = format!("bytes {at}-{}/{size}", at + length - 1);
            let request = self
                .request(Method::PUT, &format!("media/{name}"))
                .header("Content-Range", range)
                .header("Content-Type", "application/octet-stream")
                .body(part);
            let answer: Sent = self.answer(request)?;
            at = answer.received;
            sent(at, size);
        }
        let body = json!({ "name": name });
        self.ask(Method::POST, "update/install-upload", Some(&body))
    }

    /// Stops what is going on, or takes back what waits.
    pub fn stop(&self) -> Result<(), DeviceError> {
        self.ask::<Value>(Method::DELETE, "update", None).map(drop)
    }

    /// Has it go back to the version before.
    pub fn back(&self) -> Result<View, DeviceError> {
        self.ask(Method::POST, "update/back", None)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let address = format!("https://{}/api/v1/{path}", self.host);
        self.client
            .request(method, address)
            .bearer_auth(&self.token.0)
    }

    fn ask<T: for<'d> Deserialize<'d>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, DeviceError> {
        let request = self.request(method, path);
        self.answer(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    fn answer<T: for<'d> Deserialize<'d>>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, DeviceError> {
        let host = || self.host.clone();
        let answer = request
            .send()
            .map_err(|source| match self.pinned.refused() {
                Some((shown, true)) => DeviceError::Other {
                    host: host(),
                    shown,
                },
                Some((shown, false)) => DeviceError::Unknown {
                    host: host(),
                    shown,
                },
                None => DeviceError::Silent {
                    host: host(),
                    source,
                },
            })?;
        let status = answer.status();
        let silent = |source| DeviceError::Silent {
            host: host(),
            source,
        };
        let bytes = answer.bytes().map_err(silent)?;
        let parsed = if status.is_success() {
            // What has nothing to say answers with nothing.
            let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            serde_json::from_slice(text).map_err(|error| error.to_string())
        } else {
            let failure: Result<Failure, _> = serde_json::from_slice(&bytes);
            Err(failure.map_or_else(|_| status.to_string(), |failure| failure.message))
        };
        parsed.map_err(|message| DeviceError::Refused {
            host: host(),
            message,
            status: status.as_u16(),
        })
    }
}
