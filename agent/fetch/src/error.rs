//! Why something was not fetched.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hyper::StatusCode;

/// Something cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an address that is fetched from.
    #[error("“{0}” is no address to fetch from: it must begin with https://")]
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
    /// It does not take the token.
    #[error("{host} does not take this device's token")]
    Token {
        /// The host.
        host: String,
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
    /// The answer is longer than what was asked for can be.
    #[error("{host} sends more than the {most} bytes that {path} may have")]
    TooMuch {
        /// The host.
        host: String,
        /// What was asked for.
        path: String,
        /// Most bytes.
        most: u64,
    },
    /// The answer is something else than was asked for.
    #[error("{host} answers {what} where {path} was asked for")]
    Other {
        /// The host.
        host: String,
        /// What was asked for.
        path: String,
        /// What came.
        what: &'static str,
    },
    /// The server has no time.
    #[error("{host} has no time now")]
    Later {
        /// The host.
        host: String,
        /// How long it wants to be left alone, if it says so.
        after: Option<Duration>,
    },
}

impl FetchError {
    /// Whether the same may go well a moment later.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Later { .. } => true,
            Self::Status { status, .. } => status.as_u16() >= 500,
            _ => false,
        }
    }

    /// Returns the error with its causes.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
