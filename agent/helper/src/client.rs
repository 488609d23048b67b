//! How the daemon asks the helper: one connection a request.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use agent_network::{Found, NetworkState};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::protocol::{self, Answer, GadgetState, LINE, NetworkRequest, Request};

/// The longest that a request may take; making the gadget anew takes about three seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The helper did not do it.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The helper cannot be reached.
    #[error("the helper does not answer on {socket}: is bakelite-helper.service running?")]
    Reach {
        /// Its socket.
        socket: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The helper answered something else.
    #[error("the helper's answer makes no sense")]
    Answer(#[source] Option<serde_json::Error>),
    /// The helper could not do it.
    #[error("{reason}")]
    Failed {
        /// What the helper said.
        reason: String,
    },
}

/// A way to the helper.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Names the helper's socket. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Asks for something that has no result.
    pub async fn ask(&self, request: &Request) -> Result<(), HelperError> {
        match self.answer(request).await? {
            Answer::Failed { reason } => Err(HelperError::Failed { reason }),
            _ => Ok(()),
        }
    }

    /// Asks for something that changes the gadget.
    pub async fn gadget(&self, request: &Request) -> Result<GadgetState, HelperError> {
        match self.answer(request).await? {
            Answer::Gadget { gadget } => Ok(gadget),
            Answer::Failed { reason } => Err(HelperError::Failed { reason }),
            _ => Err(HelperError::Answer(None)),
        }
    }

    /// Asks for a change of the network.
    pub async fn ask_network(&self, request: NetworkRequest) -> Result<(), HelperError> {
        self.ask(&Request::Network { request }).await
    }

    /// Asks how the network is.
    pub async fn network(&self) -> Result<NetworkState, HelperError> {
        let request = NetworkRequest::Read {};
        match self.answer(&Request::Network { request }).await? {
            Answer::Network { network } => Ok(network),
            Answer::Failed { reason } => Err(HelperError::Failed { reason }),
            _ => Err(HelperError::Answer(None)),
        }
    }

    /// Asks which Wi-Fi networks are in reach.
    pub async fn networks(&self, interface: String) -> Result<Vec<Found>, HelperError> {
        let request = NetworkRequest::Search { interface };
        match self.answer(&Request::Network { request }).await? {
            Answer::Networks { networks } => Ok(networks),
            Answer::Failed { reason } => Err(HelperError::Failed { reason }),
            _ => Err(HelperError::Answer(None)),
        }
    }

    async fn answer(&self, request: &Request) -> Result<Answer, HelperError> {
        let line = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let line = line
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| HelperError::Reach {
                socket: self.socket.display().to_string(),
                source,
            })?;
        protocol::read(&line).map_err(|error| HelperError::Answer(Some(error)))
    }

    async fn exchange(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(&protocol::line(request)).await?;
        let mut line = Vec::new();
        let limit = u64::try_from(LINE).expect("a small number");
        let mut reader = BufReader::new(stream).take(limit);
        reader.read_until(b'\n', &mut line).await?;
        Ok(line)
    }
}
