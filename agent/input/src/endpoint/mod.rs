//! Writes reports to the gadget's endpoint and reads the host's lights back.
//!
//! The kernel's `/dev/hidg*` says EAGAIN while the host has not fetched the last report, and ESHUTDOWN
//! while there is no host; a write that it took can still be lost when the host starts again. So
//! every failure, and every return of the host, ends in the present state being written anew.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::report::{Leds, Report};

/// Pause before an endpoint is opened again that is missing or has no host.
const REOPEN: Duration = Duration::from_millis(100);
/// `O_NONBLOCK` of Linux: a host that does not poll would block a write for ever.
const NONBLOCK: i32 = 0o4000;

/// An outbox that several tasks use.
#[derive(Debug, Default)]
pub struct SharedOutbox<R> {
    outbox: Mutex<Outbox<R>>,
    changed: Notify,
    drained: Notify,
}

impl<R: Report> SharedOutbox<R> {
    /// Appends a report.
    pub fn push(&self, report: R) {
        self.lock().push(report, Instant::now().into_std());
        self.changed.notify_one();
    }

    /// Has the present state written anew.
    pub fn host_lost(&self) {
        self.lock().host_lost(Instant::now().into_std());
        self.changed.notify_one();
    }

    /// Waits until the host took all.
    pub async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.lock().is_empty() {
                return;
            }
            drained.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox<R>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits. Nothing else may come between taking a report and taking it away.
    fn write_to(&self, mut file: &File) -> io::Result<()> {
        let mut outbox = self.lock();
        while let Some(report) = outbox.next(Instant::now().into_std()) {
            let bytes = report.bytes();
            let written = file.write(bytes.as_ref())?;
            if written != bytes.as_ref().len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            outbox.written();
        }
        drop(outbox);
        self.drained.notify_waiters();
        Ok(())
    }
}

/// What the host says and whether it listens.
#[derive(Debug)]
pub struct HostSide {
    /// The lights; nothing while the host has not said.
    pub leds: watch::Sender<Option<Leds>>,
}

/// Serves an endpoint for ever. While it cannot be opened, reports wait.
pub async fn serve<R: Report>(path: &Path, outbox: &SharedOutbox<R>, host: Option<&HostSide>) {
    loop {
        let opened = File::options()
            .read(true)
            .write(true)
            .custom_flags(NONBLOCK)
            .open(path);
        if let Ok(file) = opened.and_then(agent_sys::watched::watch) {
            outbox.host_lost();
            // Whatever went wrong, the remedy is the same: open it anew.
            drop(serve_open(&file, outbox, host).await);
            if let Some(host) = host {
                host.leds.send_replace(None);
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

/// Serves an open endpoint until it fails.
pub async fn serve_open<R: Report>(
    file: &AsyncFd<File>,
    outbox: &SharedOutbox<R>,
    host: Option<&HostSide>,
) -> io::Result<()> {
    loop {
        let is_pending = !outbox.lock().is_empty();
        tokio::select! {
            () = outbox.changed.notified() => {}
            ready = file.writable(), if is_pending => {
                // “Would block” only means: wait again.
                if let Ok(result) = ready?.try_io(|file| outbox.write_to(file.get_ref())) {
                    result?;
                }
            }
            ready = file.readable(), if host.is_some() => {
                let mut report = [0; 64];
                if let Ok(result) = ready?.try_io(|file| file.get_ref().read(&mut report)) {
                    let (length, host) = (result?, host.expect("guarded above"));
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    host.leds.send_replace(Some(Leds::from_report(report[0])));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
