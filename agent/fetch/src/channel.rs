//! Files of an update channel, and parts of them, from a static web server. Servers that do not know parts
//! (RFC 9110, section 14) are read through once, from front to back. Or a server that is told things, and wants to know who speaks.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use crate::error::FetchError;
use crate::fetcher::{Connection, Fetcher, REDIRECTS, failed, host_of, late, leads_to, read, send};
use crate::image::STALL;

/// Bytes a second that a server must send in the long run: a slow one must not hold a device for days.
const SLOWEST: u64 = 4096;
/// How often a server that does not know parts is read from the front.
const ROUNDS: u32 = 3;
/// Files that are read through at a time.
const MOST_RUNNING: usize = 2;
/// Connections that are kept: a channel leads to one other server at most, as a rule.
const KEPT: usize = 4;

/// A file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Path within the channel.
    pub path: &'a str,
    /// Offset and length, if not all of it.
    pub part: Option<(u64, u32)>,
    /// Most bytes that it may have.
    pub most: u64,
    /// What the server called it last time: nothing comes if it is the same.
    pub etag: Option<&'a str>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The bytes, and what the server calls them.
    Bytes(Vec<u8>, Option<String>),
    /// They are the same as last time.
    Same,
    /// There is no such file.
    Missing,
}

/// Who speaks, for servers that want to know: the value of the header `Authorization`. It cannot be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Authorization(String);

impl Authorization {
    /// Takes the value.
    pub const fn new(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// A channel on a server.
#[derive(Debug)]
pub struct Channel {
    fetcher: Fetcher,
    base: Url,
    authorization: Option<Authorization>,
    kept: BTreeMap<String, Connection>,
    /// Answers with all of a file, by path: a bundle and its delta are read in turns.
    running: BTreeMap<String, Running>,
    rounds: u32,
}

/// An answer with all of a file, which is read on.
#[derive(Debug)]
struct Running {
    position: u64,
    body: Incoming,
    rest: Vec<u8>,
}

impl Channel {
    /// Takes the address of a channel's folder. `http:` is allowed: what is in a channel is signed.
    pub fn new(fetcher: Fetcher, address: &str) -> Result<Self, FetchError> {
        let mut base = read(address, true)?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self {
            fetcher,
            base,
            authorization: None,
            kept: BTreeMap::new(),
            running: BTreeMap::new(),
            rounds: 0,
        })
    }

    /// The same, with who speaks: by `https:` only, and to no other server.
    pub fn authorized(
        fetcher: Fetcher,
        address: &str,
        authorization: Authorization,
    ) -> Result<Self, FetchError> {
        read(address, false)?;
        let channel = Self::new(fetcher, address)?;
        let authorization = Some(authorization);
        Ok(Self {
            authorization,
            ..channel
        })
    }

    /// Tells the server something, as JSON. What it answers is returned, up to `most` bytes; nobody is led elsewhere.
    pub async fn tell(
        &mut self,
        path: &str,
        replaces: bool,
        body: &str,
        most: u64,
    ) -> Result<Answer, FetchError> {
        let url = self.address(path)?;
        let method = if replaces { Method::PUT } else { Method::POST };
        let what = (method, Bytes::copy_from_slice(body.as_bytes()));
        let headers = [(header::CONTENT_TYPE, "application/json".to_owned())];
        let (response, connection) = self.exchange(&url, what, &headers).await?;
        let part = None;
        let what = Ask {
            path,
            part,
            most,
            etag: None,
        };
        self.take(&what, &url, response, connection).await
    }

    /// Fetches.
    pub async fn ask(&mut self, what: &Ask<'_>) -> Result<Answer, FetchError> {
        if let Some(part) = what.part
            && let Some(running) = self.running.remove(what.path)
            && running.position <= part.0
        {
            return self.read_on(what.path, running, part).await;
        }
        let first = self.address(what.path)?;
        let mut headers: Vec<(HeaderName, String)> = Vec::new();
        if let Some((offset, length)) = what.part {
            let last = offset + u64::from(length).max(1) - 1;
            headers.push((header::RANGE, format!("bytes={offset}-{last}")));
        }
        if let Some(etag) = what.etag {
            headers.push((header::IF_NONE_MATCH, etag.to_owned()));
        }
        let mut url = first.clone();
        for _ in 0..=REDIRECTS {
            let what_is_sent = (Method::GET, Bytes::new());
            let (response, connection) = self.exchange(&url, what_is_sent, &headers).await?;
            if let Some(to) = leads_to(&url, &response) {
                // Away from TLS nobody is led.
                url = read(&to?, first.scheme() == "http")?;
                continue;
            }
            return self.take(what, &url, response, connection).await;
        }
        Err(FetchError::Redirect {
            host: host_of(&url),
        })
    }

    /// Returns the address of a path, which must stay within the channel.
    fn address(&self, path: &str) -> Result<Url, FetchError> {
        let bad = || FetchError::Address(path.chars().take(200).collect());
        let mut url = self.base.join(path).map_err(|_error| bad())?;
        let is_within =
            url.origin() == self.base.origin() && url.path().starts_with(self.base.path());
        if self.authorization.is_some() {
            // Such a server answers at the base too, which has no slash at its end there.
            if url == self.base {
                let path = url.path().trim_end_matches('/').to_owned();
                url.set_path(&path);
            }
            return is_within.then_some(url).ok_or_else(bad);
        }
        let is_file = url.path().len() > self.base.path().len() && url.query().is_none();
        (is_within && is_file).then_some(url).ok_or_else(bad)
    }

    /// Asks on a connection that is open, or on a new one.
    async fn exchange(
        &mut self,
        url: &Url,
        what: (Method, Bytes),
        headers: &[(HeaderName, String)],
    ) -> Result<(Response<Incoming>, Connection), FetchError> {
        let origin = url.origin().ascii_serialization();
        let mut headers = headers.to_vec();
        if let Some(Authorization(value)) = &self.authorization
            && url.origin() == self.base.origin()
        {
            headers.push((header::AUTHORIZATION, value.clone()));
        }
        if let Some(mut connection) = self.kept.remove(&origin)
            && connection.ready().await.is_ok()
            && let Ok(response) = send(&mut connection, what.clone(), url, &headers).await
        {
            return Ok((response, connection));
        }
        // Servers close what is not used for a while, and then nothing was wrong.
        let mut connection = self.fetcher.connect(url).await?;
        let response = send(&mut connection, what, url, &headers).await?;
        Ok((response, connection))
    }

    async fn take(
        &mut self,
        what: &Ask<'_>,
        url: &Url,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Result<Answer, FetchError> {
        let host = host_of(url);
        let other = |what_came| FetchError::Other {
            host: host.clone(),
            path: what.path.to_owned(),
            what: what_came,
        };
        let text = |name: HeaderName| {
            let value = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT
                if self.authorization.is_some() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.authorization.is_some() => {
                return Err(FetchError::Token { host });
            }
            StatusCode::NOT_MODIFIED if what.etag.is_some() => {
                self.keep(url, connection);
                return Ok(Answer::Same);
            }
            // Object stores say 403 where they do not say what there is.
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
                return Ok(Answer::Missing);
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(other("that the file is shorter")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let after = text(header::RETRY_AFTER).and_then(|after| after.parse().ok());
                let after = after.map(Duration::from_secs);
                return Err(FetchError::Later { host, after });
            }
            status => return Err(FetchError::Status { host, status }),
        }
        if text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(other(
                "a page for people (does this network want somebody to sign in?)",
            ));
        }
        if text(header::CONTENT_ENCODING).is_some_and(|kind| kind != "identity") {
            return Err(other("compressed bytes that nobody asked for"));
        }
        let etag = text(header::ETAG).map(|etag| etag.chars().take(256).collect());
        let Some((offset, length)) = what.part else {
            let mut reader = Reader::new(&host, response.into_body(), Vec::new());
            let bytes = reader.all(what).await?;
            self.keep(url, connection);
            return Ok(Answer::Bytes(bytes, etag));
        };
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = text(header::CONTENT_RANGE);
            let wanted = format!("bytes {offset}-{}/", offset + u64::from(length).max(1) - 1);
            if !range.is_some_and(|range| range.starts_with(&wanted)) {
                return Err(other("another part of the file"));
            }
            let mut reader = Reader::new(&host, response.into_body(), Vec::new());
            let bytes = reader.all(what).await?;
            if bytes.len() != length as usize {
                return Err(other("another part of the file"));
            }
            self.keep(url, connection);
            return Ok(Answer::Bytes(bytes, etag));
        }
        // It sends all of it. Each round may be as long as the whole, so there must not be many.
        if offset > 0 {
            self.rounds += 1;
        }
        if self.rounds > ROUNDS {
            return Err(other("all of the file, again and again"));
        }
        if self.running.len() >= MOST_RUNNING {
            self.running.clear();
        }
        let running = Running {
            position: 0,
            body: response.into_body(),
            rest: Vec::new(),
        };
        self.read_on(what.path, running, (offset, length)).await
    }

    /// Passes over what lies before a part, and takes the part.
    async fn read_on(
        &mut self,
        path: &str,
        running: Running,
        (offset, length): (u64, u32),
    ) -> Result<Answer, FetchError> {
        let host = host_of(&self.base);
        let mut reader = Reader::new(&host, running.body, running.rest);
        reader.pass(offset - running.position).await?;
        let bytes = reader.exactly(length as usize).await?;
        let running = Running {
            position: offset + u64::from(length),
            body: reader.body,
            rest: reader.rest,
        };
        self.running.insert(path.to_owned(), running);
        Ok(Answer::Bytes(bytes, None))
    }

    fn keep(&mut self, url: &Url, connection: Connection) {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let origin = url.origin().ascii_serialization();
        self.kept.insert(origin, connection);
    }
}

/// Reads a body with limits on length and time.
struct Reader<'h> {
    host: &'h str,
    body: Incoming,
    /// What came already and was not asked for yet.
    rest: Vec<u8>,
}

impl<'h> Reader<'h> {
    const fn new(host: &'h str, body: Incoming, rest: Vec<u8>) -> Self {
        Self { host, body, rest }
    }

    fn short(&self) -> FetchError {
        failed(self.host)(io::ErrorKind::UnexpectedEof.into())
    }

    /// Returns what comes next; nothing at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        loop {
            let frame = timeout(STALL, self.body.frame()).await;
            let frame = frame.map_err(late).map_err(failed(self.host))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| failed(self.host)(io::Error::other(error)))?;
            // Trailers are passed over.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes.to_vec()));
            }
        }
    }

    async fn all(&mut self, what: &Ask<'_>) -> Result<Vec<u8>, FetchError> {
        let mut all = Vec::new();
        let reading = async {
            while let Some(bytes) = self.next().await? {
                if (all.len() + bytes.len()) as u64 > what.most {
                    return Err(FetchError::TooMuch {
                        host: self.host.to_owned(),
                        path: what.path.to_owned(),
                        most: what.most,
                    });
                }
                all.extend(bytes);
            }
            Ok(())
        };
        in_time(what.most, reading)
            .await
            .map_err(failed(self.host))??;
        Ok(all)
    }

    async fn pass(&mut self, count: u64) -> Result<(), FetchError> {
        let mut left = count;
        let host = self.host;
        let reading = async {
            while left > 0 {
                let bytes = self.next().await?.ok_or_else(|| self.short())?;
                let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                left -= used as u64;
                self.rest = bytes[used..].to_vec();
            }
            Ok(())
        };
        in_time(count, reading).await.map_err(failed(host))?
    }

    async fn exactly(&mut self, count: usize) -> Result<Vec<u8>, FetchError> {
        let mut all = Vec::with_capacity(count);
        let host = self.host;
        let reading = async {
            while all.len() < count {
                let bytes = self.next().await?.ok_or_else(|| self.short())?;
                let used = bytes.len().min(count - all.len());
                all.extend_from_slice(&bytes[..used]);
                self.rest = bytes[used..].to_vec();
            }
            Ok(())
        };
        in_time(count as u64, reading)
            .await
            .map_err(failed(host))??;
        Ok(all)
    }
}

/// Reads a body that a test has by itself.
#[cfg(test)]
pub(crate) async fn read_all(
    host: &str,
    body: Incoming,
    what: &Ask<'_>,
) -> Result<Vec<u8>, FetchError> {
    Reader::new(host, body, Vec::new()).all(what).await
}

/// Ends what takes too long for so many bytes.
async fn in_time<T>(bytes: u64, reading: impl Future<Output = T>) -> io::Result<T> {
    let limit = STALL + Duration::from_secs(bytes / SLOWEST);
    timeout(limit, reading).await.map_err(late)
}
