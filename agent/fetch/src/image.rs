//! Images, whole, from any address that a user names.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Response, StatusCode, header};
use tokio::time::timeout;

use crate::error::FetchError;
use crate::fetcher::{Fetcher, REDIRECTS, ask, host_of, leads_to, read};

/// How long nothing may come.
pub(crate) const STALL: Duration = Duration::from_mins(1);

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
    /// Asks for an image, following redirects; each is judged anew.
    pub async fn get(&self, address: &str) -> Result<Fetched, FetchError> {
        let mut url = read(address, false)?;
        for _ in 0..=REDIRECTS {
            let host = host_of(&url);
            let mut connection = self.connect(&url).await?;
            let response = ask(&mut connection, &url, &[]).await?;
            if let Some(to) = leads_to(&url, &response) {
                url = read(&to?, false)?;
                continue;
            }
            let status = response.status();
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
        Err(FetchError::Redirect {
            host: host_of(&url),
        })
    }
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
