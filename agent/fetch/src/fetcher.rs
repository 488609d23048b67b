//! One question to one server. Never to this device itself or to addresses that only it can reach: whoever may fetch must not
//! read what listens there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::error::FetchError;
use crate::policy::{Policy, is_allowed};

/// Most redirects that are followed.
pub(crate) const REDIRECTS: usize = 5;
/// How long a connection, and the answer's head, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an address may take where there is another to try.
const NEXT: Duration = Duration::from_secs(4);

/// Fetches.
#[derive(Debug, Clone)]
pub struct Fetcher {
    tls: Arc<ClientConfig>,
    allows: Policy,
}

/// A connection that takes one question after the other.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

impl Fetcher {
    /// Makes one that trusts the authorities of the system.
    pub fn of_system() -> Result<Self, FetchError> {
        // No file has an empty name.
        Self::of_system_and(Path::new(""))
    }

    /// Makes one that trusts the authorities of the system, and those in a file (PEM) if it is there.
    pub fn of_system_and(file: &Path) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs().certs;
        let own = CertificateDer::pem_file_iter(file).into_iter().flatten();
        let (added, _) = roots.add_parsable_certificates(system.into_iter().chain(own.flatten()));
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

    /// Connects to the server of an address, over TLS unless it begins with `http:`.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Connection, FetchError> {
        let host = host_of(url);
        let connect = failed(&host);
        let stream = reach(&self.resolve(url, &host).await?).await;
        let stream = stream.map_err(&connect)?;
        let address = stream.peer_addr().map_err(&connect)?.ip().to_canonical();
        // Both ends have one address only where this device speaks to itself, by whatever address. A policy
        // that allows the loopback, as in tests, allows that too.
        let own = stream.local_addr().map_err(&connect)?.ip().to_canonical();
        if own == address && !(self.allows)(Ipv4Addr::LOCALHOST.into()) {
            let host = host.clone();
            return Err(FetchError::Forbidden { host, address });
        }
        let other = |error: hyper::Error| connect(io::Error::other(error));
        if url.scheme() == "http" {
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(other)?;
            tokio::spawn(connection);
            return Ok(sender);
        }
        let bare = bare(&host).to_owned();
        let name = ServerName::try_from(bare).map_err(|error| connect(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let stream = timeout(PATIENCE, stream)
            .await
            .map_err(late)
            .and_then(|stream| stream);
        let stream = TokioIo::new(stream.map_err(&connect)?);
        let (sender, connection) = http1::handshake(stream).await.map_err(other)?;
        // It ends when both the connection and the last body are dropped.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Finds the addresses of a host. One that may not be reached spoils all: a name that leads to both is
    /// an attempt.
    async fn resolve(&self, url: &Url, host: &str) -> Result<Vec<SocketAddr>, FetchError> {
        let resolve = |source| FetchError::Resolve {
            host: host.to_owned(),
            source,
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((bare(host), port))
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

/// Asks on a connection. The head of the answer must come in time; the body is the caller's.
pub(crate) async fn ask(
    connection: &mut Connection,
    url: &Url,
    headers: &[(HeaderName, String)],
) -> Result<Response<Incoming>, FetchError> {
    send(connection, (Method::GET, Bytes::new()), url, headers).await
}

/// The same with any method, and a body.
pub(crate) async fn send(
    connection: &mut Connection,
    (method, body): (Method, Bytes),
    url: &Url,
    headers: &[(HeaderName, String)],
) -> Result<Response<Incoming>, FetchError> {
    let host = host_of(url);
    let connect = failed(&host);
    let path = url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    );
    let authority = url
        .port()
        .map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(
            header::USER_AGENT,
            concat!("bakelite-agent/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT_ENCODING, "identity");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(body))
        .map_err(|error| connect(io::Error::other(error)))?;
    let response = timeout(PATIENCE, connection.send_request(request)).await;
    response
        .map_err(late)
        .map_err(&connect)?
        .map_err(|error| connect(io::Error::other(error)))
}

/// Connects to the first address that answers: where IPv6 leads nowhere, IPv4 often does not.
pub(crate) async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for (at, address) in addresses.iter().enumerate() {
        let is_last = at + 1 == addresses.len();
        let limit = if is_last { PATIENCE } else { NEXT };
        let connected = timeout(limit, TcpStream::connect(address)).await;
        outcome = connected.unwrap_or_else(|elapsed| Err(late(elapsed)));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Reads an address: https, or http too where what comes is signed; a host, and nobody's password.
pub(crate) fn read(address: &str, is_signed: bool) -> Result<Url, FetchError> {
    let bad = || FetchError::Address(address.chars().take(200).collect());
    let url = Url::parse(address).map_err(|_error| bad())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_known = url.scheme() == "https" || is_signed && url.scheme() == "http";
    let is_good = is_known && url.host_str().is_some() && is_plain;
    is_good.then_some(url).ok_or_else(bad)
}

/// Returns where an answer leads to, if it does.
pub(crate) fn leads_to(
    url: &Url,
    response: &Response<Incoming>,
) -> Option<Result<String, FetchError>> {
    if !response.status().is_redirection() || response.status() == hyper::StatusCode::NOT_MODIFIED {
        return None;
    }
    let to = response.headers().get(header::LOCATION);
    let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
    let nowhere = || FetchError::Redirect { host: host_of(url) };
    Some(to.map(String::from).ok_or_else(nowhere))
}

pub(crate) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

pub(crate) fn failed(host: &str) -> impl Fn(io::Error) -> FetchError {
    move |source| FetchError::Connect {
        host: host.to_owned(),
        source,
    }
}

pub(crate) fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing came in time")
}
