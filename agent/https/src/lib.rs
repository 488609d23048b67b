//! HTTPS: accepts connections, a bounded number of them, each with time limits. Every request carries
//! the address that it came from ([`Peer`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A peer that does not finish its handshake or its headers in this time is let go: it would hold
/// one of the connections for nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

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
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    slots: Arc<Semaphore>,
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
        })
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
                    let connection = connection(stream, acceptor.clone(), router, slot);
                    tokio::spawn(async move {
                        tokio::select! {
                            () = connection => {}
                            _ = hung_up.wait_for(|is_over| *is_over) => {}
                        }
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    slot: OwnedSemaphorePermit,
) {
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
    drop(slot);
}
