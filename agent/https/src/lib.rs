//! HTTPS: accepts connections, a bounded number of them, each with time limits. Every request carries
//! the address that it came from ([`Peer`]) and the one that it came to ([`Local`]). Connections that do
//! not begin as TLS can be taken by another protocol ([`Server::with_other`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A peer that does not finish its handshake or its headers in this time is let go: it would hold
/// one of the connections for nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The address of this device that a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local(pub SocketAddr);

/// First byte of a TLS connection: the content type of a handshake (RFC 8446, §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Serves connections that do not begin as TLS.
type Other =
    Arc<dyn Fn(TcpStream, SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Ends the connection of a request at once, even while its answer waits for a slow peer.
#[derive(Debug, Clone)]
pub struct HangUp(watch::Sender<bool>);

impl HangUp {
    /// Returns one that ends nothing: for requests without a connection.
    pub fn none() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Ends the connection.
    pub fn now(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the connection has ended.
    pub async fn ended(&self) {
        self.0.closed().await;
    }
}

/// A bound socket with the identity to answer with.
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    slots: Arc<Semaphore>,
    other: Option<Other>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        connections: usize,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            tls,
            slots: Arc::new(Semaphore::new(connections)),
            other: None,
        })
    }

    /// Lets another protocol have the connections that do not begin as TLS. They count as others do.
    #[must_use]
    pub fn with_other<F>(
        mut self,
        serve: impl Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.other = Some(Arc::new(move |stream, peer| Box::pin(serve(stream, peer))));
        self
    }

    /// Returns the address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the future is dropped.
    pub async fn serve(self, router: Router) {
        let acceptor = TlsAcceptor::from(self.tls);
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Keys and pictures are small and must not wait for more to come (RFC 896).
                    drop(stream.set_nodelay(true));
                    let (hang_up, mut hung_up) = watch::channel(false);
                    let router = router.clone().layer(Extension(Peer(address)));
                    let router = router.layer(Extension(HangUp(hang_up)));
                    let local = stream.local_addr().map(|local| Extension(Local(local)));
                    let router = local.map_or(router.clone(), |local| router.layer(local));
                    let (acceptor, other) = (acceptor.clone(), self.other.clone());
                    let serving = async move {
                        match other {
                            Some(other) if !is_tls(&stream).await => other(stream, address).await,
                            _ => connection(stream, acceptor, router).await,
                        }
                        drop(slot);
                    };
                    tokio::spawn(async move {
                        tokio::select! {
                            () = serving => {}
                            _ = hung_up.wait_for(|is_over| *is_over) => {}
                        }
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Whether a connection begins as TLS; also if it does not begin in time.
async fn is_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    match tokio::time::timeout(PATIENCE, stream.peek(&mut first)).await {
        Ok(Ok(1)) => first[0] == TLS_HANDSHAKE,
        _ => true,
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    // A peer that fails or goes away is its own matter.
    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        let service = TowerToHyperService::new(router);
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE);
        drop(
            builder
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await,
        );
    }
}
