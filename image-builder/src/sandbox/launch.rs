//! The parent's side: starts a worker, maps its ids, hands it the task and relays its events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use crate::Host;
use crate::event::Sink;
use crate::sandbox::{Identity, IdentityError};
use crate::worker::{Answer, Message, Task};

/// Whether the worker sees the host's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Loopback only, and that is down.
    None,
    /// The host's: for the emulator, which forwards ports.
    Host,
}

/// A worker could not be started, or its task failed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This user cannot have a user namespace with real owners.
    #[error("cannot build without root as this user")]
    Identity(#[source] IdentityError),
    /// The worker cannot be started.
    #[error("cannot start the worker {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel or the system's settings forbid user namespaces.
    #[error("the worker cannot make its namespaces: {output}")]
    Namespaces {
        /// What it said.
        output: String,
    },
    /// `newuidmap` or `newgidmap` failed.
    #[error("{program} failed: {output}")]
    MapIds {
        /// Which of the two.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The worker ended without an answer.
    #[error("the worker ended early: {output}")]
    Died {
        /// Its last words.
        output: String,
    },
    /// The task failed.
    #[error("{}", causes.first().map_or("the worker failed", |cause| cause.as_str()))]
    Task {
        /// The error and its causes, outermost first.
        causes: Vec<String>,
        /// Whether there was no room left.
        disk_full: bool,
    },
}

impl SandboxError {
    /// Returns the causes below the first, for printing the whole chain.
    pub fn inner_causes(&self) -> &[String] {
        match self {
            Self::Task { causes, .. } => causes.get(1..).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Runs `task` in a worker and returns its answer.
pub fn run(
    host: &Host,
    network: Network,
    task: &Task,
    sink: Sink<'_>,
) -> Result<Answer, SandboxError> {
    start(host, network, task)?.wait(sink)
}

/// A worker that does its task. Dropped, it ends.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
}

/// Starts a worker.
pub fn start(host: &Host, network: Network, task: &Task) -> Result<Running, SandboxError> {
    let identity = Identity::current().map_err(SandboxError::Identity)?;
    let mut child = spawn(host, network)?;
    let mut input = child.stdin.take().expect("stdin is piped");
    let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut errors = child.stderr.take().expect("stderr is piped");
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        drop(errors.read_to_end(&mut text));
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let mut running = Running {
        child,
        output,
        errors: Some(errors),
    };
    let mut line = String::new();
    drop(running.output.read_line(&mut line));
    if line.trim() != "ready" {
        return Err(SandboxError::Namespaces {
            output: running.last_words(),
        });
    }
    map_ids(&identity, &running.child)?;
    match hand_over(&mut input, task) {
        Ok(()) => Ok(running),
        Err(_) => Err(SandboxError::Died {
            output: running.last_words(),
        }),
    }
}

impl Running {
    /// Relays events until the worker ends, and returns its answer.
    pub fn wait(mut self, sink: Sink<'_>) -> Result<Answer, SandboxError> {
        let mut answer = None;
        let mut line = String::new();
        while self
            .output
            .read_line(&mut line)
            .is_ok_and(|count| count > 0)
        {
            match serde_json::from_str(&line) {
                Ok(Message::Event(event)) => sink(event),
                Ok(Message::Done(done)) => answer = Some(Ok(done)),
                Ok(Message::Failed { causes, disk_full }) => {
                    answer = Some(Err(SandboxError::Task { causes, disk_full }));
                }
                Err(_) => {}
            }
            line.clear();
        }
        let last_words = self.last_words();
        answer.unwrap_or(Err(SandboxError::Died { output: last_words }))
    }

    /// Returns whether the worker still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn last_words(&mut self) -> String {
        drop(self.child.wait());
        self.errors
            .take()
            .and_then(|errors| errors.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its namespaces, and every process in them, end with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that starts workers"
)]
fn spawn(host: &Host, network: Network) -> Result<Child, SandboxError> {
    let program = &host.executable;
    Command::new(program)
        .arg("__worker")
        .arg(if network == Network::Host {
            "network"
        } else {
            "isolated"
        })
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| SandboxError::Start {
            program: program.display().to_string(),
            source,
        })
}

fn hand_over(input: &mut ChildStdin, task: &Task) -> std::io::Result<()> {
    input.write_all(b"mapped\n")?;
    serde_json::to_writer(&mut *input, task)?;
    input.write_all(b"\n")?;
    input.flush()
}

fn map_ids(identity: &Identity, child: &Child) -> Result<(), SandboxError> {
    let process = child.id().to_string();
    match identity {
        Identity::Root => {
            for file in ["uid_map", "gid_map"] {
                // Inside a container only part of the ids exist: map what there is.
                let own = fs_err::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
                let lines: Vec<String> = own
                    .lines()
                    .filter_map(|line| {
                        let mut words = line.split_whitespace();
                        let (inside, _, count) = (words.next()?, words.next()?, words.next()?);
                        Some(format!("{inside} {inside} {count}"))
                    })
                    .collect();
                write_kernel_file(&format!("/proc/{process}/{file}"), &lines.join("\n")).map_err(
                    |error| SandboxError::MapIds {
                        program: "writing the id map",
                        output: error.to_string(),
                    },
                )?;
            }
            Ok(())
        }
        Identity::Subordinate {
            uid,
            gid,
            uids,
            gids,
        } => {
            map_with("newuidmap", &process, *uid, *uids)?;
            map_with("newgidmap", &process, *gid, *gids)
        }
    }
}

/// Kernel files take one write; a temporary file and a rename make no sense there.
fn write_kernel_file(path: &str, text: &str) -> std::io::Result<()> {
    fs_err::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[expect(
    clippy::disallowed_methods,
    reason = "newuidmap and newgidmap are the host's, setuid, and have no library"
)]
fn map_with(
    program: &'static str,
    process: &str,
    own: u32,
    range: (u32, u32),
) -> Result<(), SandboxError> {
    let (own, first, count) = (
        own.to_string(),
        range.0.to_string(),
        range.1.min(65535).to_string(),
    );
    let output = Command::new(program)
        .args([process, "0", &own, "1", "1", &first, &count])
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(SandboxError::MapIds { program, output })
        }
        Err(error) => Err(SandboxError::MapIds {
            program,
            output: error.to_string(),
        }),
    }
}
