//! Fetches an image from an address. Only https, and never from this device itself or from addresses
//! that only it can reach: whoever may fetch must not read what listens there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// Most redirects that are followed.
const REDIRECTS: usize = 5;
/// How long a connection, and the answer's head, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an address may take where there is another to try.
const NEXT: Duration = Duration::from_secs(4);
/// How long nothing may come.
const STALL: Duration = Duration::from_mins(1);

/// An image cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an address that is fetched from.
    #[error("“{0}” is no address that images are fetched from: it must begin with https://")]
    Address(String),
    /// The name is not known.
    #[error("{host} cannot be found")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It leads to this device, or to what only this device can reach.
    #[error("{host} leads to {address}, which is this device or reached by it alone")]
    Forbidden {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// No connection.
    #[error("{host} does not answer, or not as it should")]
    Connect {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server refused.
    #[error("{host} answers {status}")]
    Status {
        /// The host.
        host: String,
        /// What it answered.
        status: StatusCode,
    },
    /// Redirected too often, or nowhere.
    #[error("{host} leads on and on, or to no address")]
    Redirect {
        /// The last host.
        host: String,
    },
    /// The size is not said.
    #[error("{host} does not say how large the image is, so nobody knows whether there is room")]
    Size {
        /// The host.
        host: String,
    },
    /// There are no authorities to trust.
    #[error("no certificate authorities are installed: install the package ca-certificates")]
    Roots,
}

/// Which addresses may be reached.
pub type Policy = fn(IpAddr) -> bool;

/// Fetches.
#[derive(Debug, Clone)]
pub struct Fetcher {
    tls: Arc<ClientConfig>,
    allows: Policy,
}

/// An answer whose body is an image.
#[derive(Debug)]
pub struct Fetched {
    /// Bytes of the whole.
    pub size: u64,
    /// The name that the address ends in.
    pub name: Option<String>,
    response: Response<Incoming>,
}

impl Fetcher {
    /// Makes one that trusts the authorities of the system.
    pub fn of_system() -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        let (added, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(FetchError::Roots);
        }
        Ok(Self::new(roots, is_allowed))
    }

    /// Makes one that trusts these authorities.
    pub fn new(roots: RootCertStore, allows: Policy) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.expect("the provider has all of them");
        let tls = builder.with_root_certificates(roots).with_no_client_auth();
        let tls = Arc::new(tls);
        Self { tls, allows }
    }

    /// Asks for an image, following redirects; each is judged anew.
    pub async fn get(&self, address: &str) -> Result<Fetched, FetchError> {
        let mut url = read(address)?;
        for _ in 0..=REDIRECTS {
            let host = url.host_str().unwrap_or_default().to_owned();
            let response = self.ask(&url, &host).await?;
            let status = response.status();
            if status.is_redirection() {
                let to = response.headers().get(header::LOCATION);
                let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
                let to = to.ok_or(FetchError::Redirect { host })?;
                url = read(to.as_str())?;
                continue;
            }
            if status != StatusCode::OK {
                return Err(FetchError::Status { host, status });
            }
            let size = response.headers().get(header::CONTENT_LENGTH);
            let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
            let last = url.path_segments().and_then(|mut parts| parts.next_back());
            let name = last.filter(|name| !name.is_empty()).map(str::to_owned);
            return match size {
                Some(size @ 1..) => Ok(Fetched {
                    size,
                    name,
                    response,
                }),
                _ => Err(FetchError::Size { host }),
            };
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        Err(FetchError::Redirect { host })
    }

    async fn ask(&self, url: &Url, host: &str) -> Result<Response<Incoming>, FetchError> {
        let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        let connect = |source| FetchError::Connect {
            host: host.to_owned(),
            source,
        };
        let stream = reach(&self.resolve(url, host).await?).await;
        let stream = stream.map_err(connect)?;
        let address = stream.peer_addr().map_err(connect)?.ip().to_canonical();
        // Both ends have one address only where this device speaks to itself, by whatever address. A policy
        // that allows the loopback, as in tests, allows that too.
        let own = stream.local_addr().map_err(connect)?.ip().to_canonical();
        if own == address && !(self.allows)(Ipv4Addr::LOCALHOST.into()) {
            let host = host.to_owned();
            return Err(FetchError::Forbidden { host, address });
        }
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(bare).map_err(|error| connect(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let stream = timeout(PATIENCE, stream)
            .await
            .map_err(late)
            .and_then(|stream| stream);
        let stream = TokioIo::new(stream.map_err(connect)?);
        let other = |error: hyper::Error| connect(io::Error::other(error));
        let (mut sender, connection) = http1::handshake(stream).await.map_err(other)?;
        // It ends with the body, or when the body is dropped.
        tokio::spawn(connection);
        let path = url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        );
        let authority = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = Request::get(path)
            .header(header::HOST, authority)
            .header(
                header::USER_AGENT,
                concat!("bakelite-agent/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Empty::<Bytes>::new())
            .map_err(|error| connect(io::Error::other(error)))?;
        let response = timeout(PATIENCE, sender.send_request(request)).await;
        response.map_err(late).map_err(connect)?.map_err(other)
    }

    /// Finds the addresses of a host. One that may not be reached spoils all: a name that leads to both is
    /// an attempt.
    async fn resolve(&self, url: &Url, host: &str) -> Result<Vec<SocketAddr>, FetchError> {
        let resolve = |source| FetchError::Resolve {
            host: host.to_owned(),
            source,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((bare, port))
            .await
            .map_err(resolve)?;
        let found: Vec<SocketAddr> = found
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
            .collect();
        if let Some(bad) = found.iter().find(|address| !(self.allows)(address.ip())) {
            return Err(FetchError::Forbidden {
                host: host.to_owned(),
                address: bad.ip(),
            });
        }
        if found.is_empty() {
            return Err(resolve(io::ErrorKind::NotFound.into()));
        }
        Ok(found)
    }
}

/// Connects to the first address that answers: where IPv6 leads nowhere, IPv4 often does not.
async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for (at, address) in addresses.iter().enumerate() {
        let is_last = at + 1 == addresses.len();
        let limit = if is_last { PATIENCE } else { NEXT };
        let connected = timeout(limit, TcpStream::connect(address)).await;
        outcome = connected.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

impl Fetched {
    /// Returns the content, piece by piece. It ends with an error if nothing comes for a minute.
    pub fn content(self) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Unpin {
        let body = self.response.into_body();
        Box::pin(stream::unfold(body, async |mut body| {
            loop {
                let frame = match timeout(STALL, body.frame()).await {
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(error))) => return Some((Err(io::Error::other(error)), body)),
                    Ok(None) => return None,
                    Err(_elapsed) => return Some((Err(io::ErrorKind::TimedOut.into()), body)),
                };
                // Trailers are passed over.
                if let Ok(bytes) = frame.into_data() {
                    return Some((Ok(bytes), body));
                }
            }
        }))
    }
}

/// Reads an address: https, a host, and nobody's password.
fn read(address: &str) -> Result<Url, FetchError> {
    let bad = || FetchError::Address(address.chars().take(200).collect());
    let url = Url::parse(address).map_err(|_error| bad())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_good = url.scheme() == "https" && url.host_str().is_some() && is_plain;
    is_good.then_some(url).ok_or_else(bad)
}

/// Whether images may be fetched from there: not from this device, not from its link, not from what is
/// no address of a host (RFC 6890). Addresses within another (RFC 4291, §2.5.5; RFC 6052; RFC 3056) are
/// judged as that.
pub fn is_allowed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_allowed_v4(ip),
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let inner =
                |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
            let embedded = match segments {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low]
                | [0, 0, 0, 0, 0, 0, high, low]
                | [0x2002, high, low, ..] => Some(inner(high, low)),
                _ => None,
            };
            embedded.is_none_or(is_allowed_v4)
                && !ip.is_loopback()
                && !ip.is_unspecified()
                && !ip.is_multicast()
                && !is_link_local(ip)
        }
    }
}

fn is_allowed_v4(ip: Ipv4Addr) -> bool {
    let first = ip.octets()[0];
    (1..224).contains(&first) && !ip.is_loopback() && !ip.is_link_local()
}

/// Whether this is in `fe80::/10` (RFC 4291, §2.5.6).
fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests;
