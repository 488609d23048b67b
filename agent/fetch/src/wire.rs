//! How a process with privileges fetches without touching the network: it asks another process that has none, over a socket. One
//! JSON object a line each way; the bytes follow their line. The first line names the channel.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
    AsyncWriteExt as _,
};

use crate::channel::{Answer, Ask, Authorization, Channel};
use crate::error::FetchError;
use crate::fetcher::Fetcher;

/// Longest line, either way.
const LINE: u64 = 8192;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    channel: String,
    authorization: Option<Authorization>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    path: String,
    part: Option<(u64, u32)>,
    most: u64,
    etag: Option<String>,
    tell: Option<Tell>,
}

/// What a server is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    replaces: bool,
    body: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
enum Reply {
    Bytes {
        length: u64,
        etag: Option<String>,
    },
    Same,
    Missing,
    Failed {
        reason: String,
        passes: bool,
        after: Option<u64>,
    },
}

/// Something was not fetched.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failed {
    /// Why, in a sentence.
    pub reason: String,
    /// Whether it may go well a moment later.
    pub passes: bool,
    /// How long the server wants to be left alone.
    pub after: Option<Duration>,
}

/// The asking side: it has no network.
#[derive(Debug)]
pub struct Remote {
    stream: BufReader<UnixStream>,
}

impl Remote {
    /// Names the channel to whoever is at the other end, and who speaks if its server wants to know.
    pub fn new(
        mut stream: UnixStream,
        channel: &str,
        authorization: Option<Authorization>,
    ) -> io::Result<Self> {
        stream.write_all(&line(&Hello {
            channel: channel.into(),
            authorization,
        }))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Fetches. What comes is at most as long as was asked for, and nothing else is known of it.
    pub fn ask(&mut self, what: &Ask<'_>) -> Result<Answer, Failed> {
        self.request(what, None)
    }

    /// Tells the server something, as JSON of at most some 4 KiB.
    pub fn tell(
        &mut self,
        path: &str,
        replaces: bool,
        body: &str,
        most: u64,
    ) -> Result<Answer, Failed> {
        let what = Ask {
            path,
            part: None,
            most,
            etag: None,
        };
        let body = body.to_owned();
        self.request(&what, Some(Tell { replaces, body }))
    }

    fn request(&mut self, what: &Ask<'_>, tell: Option<Tell>) -> Result<Answer, Failed> {
        let broken = |error: io::Error| Failed {
            reason: format!("what fetches updates does not answer: {error}"),
            passes: true,
            after: None,
        };
        let request = Request {
            path: what.path.into(),
            part: what.part,
            most: what.most,
            etag: what.etag.map(str::to_owned),
            tell,
        };
        self.stream
            .get_mut()
            .write_all(&line(&request))
            .map_err(broken)?;
        let mut text = Vec::new();
        let head = (&mut self.stream).take(LINE);
        { head }.read_until(b'\n', &mut text).map_err(broken)?;
        match parse(&text).map_err(broken)? {
            Reply::Bytes { length, etag } => {
                let most = what.part.map_or(what.most, |(_, length)| length.into());
                let is_right = match what.part {
                    Some(_) => length == most,
                    None => length <= most,
                };
                if !is_right {
                    return Err(broken(io::ErrorKind::InvalidData.into()));
                }
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
                self.stream.read_exact(&mut bytes).map_err(broken)?;
                Ok(Answer::Bytes(bytes, etag))
            }
            Reply::Same => Ok(Answer::Same),
            Reply::Missing => Ok(Answer::Missing),
            Reply::Failed {
                reason,
                passes,
                after,
            } => Err(Failed {
                reason,
                passes,
                after: after.map(Duration::from_secs),
            }),
        }
    }
}

/// The fetching side: answers until the other end is closed.
pub async fn serve(
    fetcher: Result<Fetcher, FetchError>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = tokio::io::BufReader::new(reader);
    let Some(hello) = next::<Hello>(&mut reader).await? else {
        return Ok(());
    };
    let mut channel = fetcher.and_then(|fetcher| match hello.authorization {
        Some(value) => Channel::authorized(fetcher, &hello.channel, value),
        None => Channel::new(fetcher, &hello.channel),
    });
    while let Some(request) = next::<Request>(&mut reader).await? {
        let what = Ask {
            path: &request.path,
            part: request.part,
            most: request.most,
            etag: request.etag.as_deref(),
        };
        let answer = match (&mut channel, &request.tell) {
            (Ok(channel), None) => channel.ask(&what).await,
            (Ok(channel), Some(tell)) => {
                channel
                    .tell(what.path, tell.replaces, &tell.body, what.most)
                    .await
            }
            (Err(error), _) => {
                writer.write_all(&line(&failed(error))).await?;
                continue;
            }
        };
        match answer {
            Ok(Answer::Bytes(bytes, etag)) => {
                let length = bytes.len() as u64;
                writer
                    .write_all(&line(&Reply::Bytes { length, etag }))
                    .await?;
                writer.write_all(&bytes).await?;
            }
            Ok(Answer::Same) => writer.write_all(&line(&Reply::Same)).await?,
            Ok(Answer::Missing) => writer.write_all(&line(&Reply::Missing)).await?,
            Err(error) => writer.write_all(&line(&failed(&error))).await?,
        }
        writer.flush().await?;
    }
    Ok(())
}

/// Reads a line; nothing at the end.
async fn next<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    reader.take(LINE).read_until(b'\n', &mut text).await?;
    if text.is_empty() {
        return Ok(None);
    }
    parse(&text).map(Some)
}

fn failed(error: &FetchError) -> Reply {
    let after = match error {
        FetchError::Later { after, .. } => after.map(|after| after.as_secs()),
        _ => None,
    };
    Reply::Failed {
        reason: error.sentence().chars().take(2000).collect(),
        passes: error.may_pass(),
        after,
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> io::Result<T> {
    serde_json::from_slice(text).map_err(io::Error::other)
}
