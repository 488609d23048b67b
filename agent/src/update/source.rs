//! Where bundles come from: a file, or a channel that a process without privileges fetches from.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_fetch::channel::{Answer, Ask, Authorization};
use agent_fetch::wire::{Failed, Remote};
use agent_update::install::Source;
use agent_update::{channel, fleet};
use ota_bundle::delta::{DELTA_HEAD, Delta, DeltaHead, Patch};
use ota_bundle::{Bundle, HEAD_LENGTH, Head, Unverified};

use super::{Failure, sentence};
use crate::run::say;

/// Each connection to it starts a process that has the network, and nothing else.
const FETCHER: &str = "/run/bakelite-fetch.sock";
/// How often a part is asked for before it is given up, waiting longer each time: about half an hour in all.
const TRIES: u32 = 12;
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// A channel on the network.
#[derive(Debug)]
pub(super) struct Network {
    address: String,
    authorization: Option<Authorization>,
    remote: Option<Remote>,
    /// How long the server wants to be left alone, if it said so last.
    pub(super) after: Option<Duration>,
}

impl Network {
    /// A server that wants to know who speaks is told that.
    pub(super) fn new(address: String, authorization: Option<String>) -> Self {
        Self {
            address,
            authorization: authorization.map(Authorization::new),
            remote: None,
            after: None,
        }
    }

    fn ask(&mut self, what: &Ask<'_>) -> Result<Answer, Failed> {
        self.request(|remote| remote.ask(what))
    }

    fn request(
        &mut self,
        request: impl FnOnce(&mut Remote) -> Result<Answer, Failed>,
    ) -> Result<Answer, Failed> {
        let mut remote = match self.remote.take() {
            Some(remote) => remote,
            None => UnixStream::connect(FETCHER)
                .and_then(|stream| Remote::new(stream, &self.address, self.authorization.clone()))
                .map_err(|error| Failed {
                    reason: format!("what fetches updates cannot be reached: {error}"),
                    passes: true,
                    after: None,
                })?,
        };
        let answer = request(&mut remote);
        match &answer {
            Ok(_) => self.remote = Some(remote),
            Err(failed) => self.after = failed.after,
        }
        answer
    }
}

impl fleet::Server for Network {
    fn send(
        &mut self,
        method: fleet::Method,
        path: &str,
        body: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        let what = Ask {
            path,
            part: None,
            most: fleet::MOST,
            etag: None,
        };
        let body = String::from_utf8_lossy(body);
        let answer = self.request(|remote| match method {
            fleet::Method::Get => remote.ask(&what),
            fleet::Method::Put => remote.tell(path, true, &body, fleet::MOST),
            fleet::Method::Post => remote.tell(path, false, &body, fleet::MOST),
        });
        match answer.map_err(io::Error::other)? {
            Answer::Bytes(bytes, _) => Ok(Some(bytes)),
            Answer::Same | Answer::Missing => Ok(None),
        }
    }
}

impl channel::Server for Network {
    fn get(&mut self, path: &str, most: u64, etag: Option<&str>) -> io::Result<channel::Answer> {
        let what = Ask {
            path,
            part: None,
            most,
            etag,
        };
        match self.ask(&what).map_err(io::Error::other)? {
            Answer::Bytes(bytes, etag) => Ok(channel::Answer::Bytes(bytes, etag)),
            Answer::Same => Ok(channel::Answer::Same),
            Answer::Missing => Ok(channel::Answer::Missing),
        }
    }
}

/// A bundle in a channel.
#[derive(Debug)]
pub(super) struct Remotely {
    network: Arc<Mutex<Network>>,
    path: String,
    /// Patches for what runs, and where they are.
    delta: Option<(Delta, String)>,
    /// Most bytes a second.
    limit: Option<u64>,
    /// What came since when: what is above the limit waits.
    meter: (Instant, u64),
    stop: Arc<AtomicBool>,
}

impl Remotely {
    pub(super) fn new(
        network: Arc<Mutex<Network>>,
        path: String,
        limit_kib: Option<u32>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            network,
            path,
            delta: None,
            limit: limit_kib.map(|kib| u64::from(kib.max(1)) << 10),
            meter: (Instant::now(), 0),
            stop,
        }
    }

    fn part(&mut self, path: &str, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let mut tries = 0;
        loop {
            let what = Ask {
                path,
                part: Some((offset, length)),
                most: length.into(),
                etag: None,
            };
            let answer = self
                .network
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .ask(&what);
            match answer {
                Ok(Answer::Bytes(bytes, _)) => {
                    self.keep_to_limit(bytes.len())?;
                    return Ok(bytes);
                }
                Ok(_) => return Err(io::Error::other("the channel has lost what it promises")),
                Err(failed) if failed.passes && tries < TRIES => {
                    tries += 1;
                    let wait = Duration::from_secs(1 << tries.min(9)).min(LONGEST_WAIT);
                    self.wait(failed.after.unwrap_or(wait).min(LONGEST_WAIT))?;
                }
                Err(failed) => return Err(io::Error::other(failed)),
            }
        }
    }

    /// Waits, unless somebody stops it.
    fn wait(&self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            std::thread::sleep(Duration::from_millis(200).min(until - Instant::now()));
        }
        Ok(())
    }

    fn keep_to_limit(&mut self, came: usize) -> io::Result<()> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        self.meter.1 += came as u64;
        let due = Duration::from_millis(self.meter.1 * 1000 / limit);
        self.wait(due.saturating_sub(self.meter.0.elapsed()))
    }

    /// Reads what lies before the segments; its length is known to be within limits first.
    pub(super) fn bundle(&mut self) -> Result<Bundle<Unverified>, Failure> {
        let path = self.path.clone();
        let head = self.part(&path, 0, u32::try_from(HEAD_LENGTH)?)?;
        let head = head.first_chunk().ok_or("the bundle has no head")?;
        let length = u32::try_from(Head::from_bytes(head)?.metadata())?;
        Ok(Bundle::read(&self.part(&path, 0, length)?)?)
    }

    /// Takes patches from what runs, if the channel has them. Without them all is fetched whole, so nothing is wrong then.
    pub(super) fn use_delta(&mut self, said: &update_trust::Delta) {
        match self.read_delta(said) {
            Ok(delta) => self.delta = Some((delta, said.path.clone())),
            Err(error) => say(&format!(
                "{} is passed over: {}",
                said.path,
                sentence(error.as_ref())
            )),
        }
    }

    fn read_delta(&mut self, said: &update_trust::Delta) -> Result<Delta, Failure> {
        let head = self.part(&said.path, 0, u32::try_from(DELTA_HEAD)?)?;
        let head = head.first_chunk().ok_or("it has no head")?;
        let length = u32::try_from(DeltaHead::from_bytes(head)?.metadata())?;
        Ok(Delta::read(&self.part(&said.path, 0, length)?, said.table)?)
    }
}

impl Source for Remotely {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        let path = self.path.clone();
        *bytes = self.part(&path, offset, length)?;
        Ok(())
    }

    fn patch(&self, segment: u32) -> Option<&Patch> {
        self.delta.as_ref()?.0.patch(segment)
    }

    fn read_patch(&mut self, patch: &Patch, bytes: &mut Vec<u8>) -> io::Result<()> {
        let (offset, stored) = (patch.offset, patch.stored);
        let path = self.delta.as_ref().map(|(_, path)| path.clone());
        *bytes = self.part(&path.unwrap_or_default(), offset, stored)?;
        Ok(())
    }
}

/// A bundle in a file.
#[derive(Debug)]
pub(super) struct Locally(File);

impl Locally {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if !file.metadata()?.is_file() {
            return Err(format!("{} is no file", path.display()).into());
        }
        Ok(Self(file))
    }

    /// Reads what lies before the segments; its length is known to be within limits first.
    pub(super) fn bundle(&mut self) -> Result<Bundle<Unverified>, Failure> {
        let mut head = [0; HEAD_LENGTH];
        self.0.read_exact(&mut head)?;
        let length = Head::from_bytes(&head)?.metadata();
        let mut bytes = vec![0; usize::try_from(length)?];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(Bundle::read(&bytes)?)
    }
}

impl Source for Locally {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(length as usize, 0);
        self.0.read_exact_at(bytes, offset)
    }
}
