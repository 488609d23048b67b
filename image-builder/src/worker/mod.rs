//! What a worker does: the other side of [`crate::sandbox::run`].
//!
//! A worker reads one [`Task`] as a line of JSON, sends [`Message`]s as lines of JSON, and ends. It
//! runs in namespaces of its own, confined to one tree before it touches anything foreign.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::sandbox::{self, Confinement, Network};

pub mod base;
pub mod finish;
pub mod image;
pub mod program;

/// One job for a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum Task {
    /// Unpack packages without running their scripts: trees of tools and libraries.
    Unpack(base::Unpack),
    /// Install a set of packages into an empty tree.
    Base(base::Base),
    /// Make the initramfs.
    Initramfs(finish::Initramfs),
    /// Install the agent and apply the overlays on top of a tree.
    Finish(finish::Finish),
    /// Write partitions into an image file.
    Image(image::Image),
    /// Run a program of a tree.
    Run(program::Run),
    /// Remove folders whose owners only a worker can become.
    Remove {
        /// Absolute paths.
        paths: Vec<PathBuf>,
    },
}

/// What a task gives back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Seconds by script, the slow ones.
    pub script_seconds: Vec<(String, f64)>,
    /// Exit status of a program.
    pub exit_code: Option<i32>,
    /// What the image holds.
    pub image: Option<image::Report>,
    /// What was installed.
    pub kernel_version: Option<String>,
}

/// One line from a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Something happened.
    Event(Event),
    /// The task is done.
    Done(Answer),
    /// The task failed; the error and its causes.
    Failed {
        /// Outermost first.
        causes: Vec<String>,
        /// Whether there was no room left.
        disk_full: bool,
    },
}

/// A boxed error of any task; it goes to the parent as text.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// First half of a worker: leaves the host's namespaces, waits until its ids are mapped, and starts
/// the second half as the first process of the new process namespace. Returns the exit code.
#[expect(clippy::disallowed_methods, reason = "the worker starts itself again")]
pub fn run_outer(network: Network, executable: &std::path::Path) -> u8 {
    let prepared = || -> Result<(), TaskError> {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        sandbox::enter_namespaces(network)?;
        let mut output = io::stdout().lock();
        output.write_all(b"ready\n")?;
        output.flush()?;
        // Byte by byte: what follows belongs to the second half.
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            nix::unistd::read(io::stdin(), &mut byte).map_err(io::Error::from)?;
            line.push(byte[0]);
        }
        nix::unistd::setresgid(0.into(), 0.into(), 0.into())?;
        nix::unistd::setgroups(&[])?;
        nix::unistd::setresuid(0.into(), 0.into(), 0.into())?;
        Ok(())
    };
    if let Err(error) = prepared() {
        let _written = writeln!(io::stderr(), "{}", chain(error.as_ref()).join(": "));
        return 1;
    }
    let status = std::process::Command::new(executable)
        .arg("__worker")
        .arg("inner")
        .status();
    u8::from(!status.is_ok_and(|status| status.success()))
}

/// Second half of a worker: does the task. Returns the exit code.
pub fn run_inner() -> u8 {
    let output = io::stdout();
    let send = |message: &Message| {
        let mut line = serde_json::to_vec(message).expect("messages are plain data");
        line.push(b'\n');
        let mut output = output.lock();
        // A parent that is gone needs no answer, and takes this process with it.
        let _sent = output.write_all(&line).and_then(|()| output.flush());
    };
    let work = || -> Result<Answer, TaskError> {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let mut line = String::new();
        io::stdin().lock().take(64 << 20).read_line(&mut line)?;
        let task: Task = serde_json::from_str(&line)?;
        if !matches!(task, Task::Run(_)) {
            sandbox::ignore_flushes()?;
        }
        let sink = |event| send(&Message::Event(event));
        match task {
            Task::Unpack(task) => task.work(&sink),
            Task::Base(task) => task.work(&sink),
            Task::Initramfs(task) => task.work(),
            Task::Finish(task) => task.work(&sink),
            Task::Image(task) => task.work(),
            Task::Run(task) => task.work(),
            Task::Remove { paths } => {
                for path in paths {
                    remove(&path)?;
                }
                Ok(Answer::default())
            }
        }
    };
    match work() {
        Ok(answer) => {
            send(&Message::Done(answer));
            0
        }
        Err(error) => {
            send(&Message::Failed {
                causes: chain(error.as_ref()),
                disk_full: is_disk_full(error.as_ref()),
            });
            1
        }
    }
}

/// Returns an error and its causes, outermost first.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

/// Whether an error comes from a file system without room.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::StorageFull
        {
            return true;
        }
        // Of a maintainer script there is nothing but its words (strerror(3) in the C locale).
        if let Some(error) = error.downcast_ref::<crate::dpkg::ScriptError>()
            && error.to_string().contains("No space left on device")
        {
            return true;
        }
        next = error.source();
    }
    false
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    if fs_err::symlink_metadata(path).is_ok_and(|data| data.is_dir()) {
        fs_err::remove_dir_all(path)
    } else {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Confines the worker; the first thing that every task but `Remove` does.
fn confine(confinement: &Confinement) -> Result<(), TaskError> {
    Ok(sandbox::enter(confinement)?)
}
