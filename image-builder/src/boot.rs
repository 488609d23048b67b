//! Starts an image in an emulated machine: what the board's firmware would load is read out of the
//! image's own boot partition by the firmware model and handed to QEMU.

use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Host;
use crate::download::Downloader;
use crate::event::{Event, Sink};
use crate::firmware::{self, Board, BootPartition, FirmwareError};
use crate::lock::{Lock, LockedPackage};
use crate::pipeline::{self, BuildError};
use crate::sandbox::{self, Bind, Confinement, Network, Root, Running, SandboxError};
use crate::worker::{Task, program};

/// A port that leads into the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Whether it is a UDP port.
    pub is_udp: bool,
    /// On 127.0.0.1.
    pub local: u16,
    /// Address of the machine; that which it is leased first if absent.
    pub address: Option<Ipv4Addr>,
    /// Port of the machine.
    pub machine: u16,
}

/// The text names no ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a forward is [udp:]LOCAL:[ADDRESS:]MACHINE, such as 8022:22 or 8443:10.0.2.77:443")]
pub struct BadForward;

impl std::str::FromStr for Forward {
    type Err = BadForward;

    fn from_str(text: &str) -> Result<Self, BadForward> {
        let (is_udp, ports) = match text.strip_prefix("udp:") {
            Some(ports) => (true, ports),
            None => (false, text),
        };
        let port = |text: &str| text.parse().map_err(|_bad| BadForward);
        let (local, machine) = ports.split_once(':').ok_or(BadForward)?;
        let (address, machine) = match machine.split_once(':') {
            Some((address, port)) => (Some(address.parse().map_err(|_bad| BadForward)?), port),
            None => (None, machine),
        };
        Ok(Self {
            is_udp,
            local: port(local)?,
            address,
            machine: port(machine)?,
        })
    }
}

/// How the machine is made.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The disk: changed by the guest.
    pub disk: PathBuf,
    /// File that takes the console.
    pub console: PathBuf,
    /// Port on 127.0.0.1 that leads to the agent's HTTPS port.
    pub https_port: u16,
    /// Port on 127.0.0.1 that leads to SSH, if wanted.
    pub ssh_port: Option<u16>,
    /// More ports, on 127.0.0.1 and in the machine.
    pub forwards: Vec<Forward>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Board whose boot files are used.
    pub board: String,
    /// More kernel arguments.
    pub arguments: String,
}

/// The machine could not be started, or the image cannot boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file cannot be read or written.
    #[error("cannot prepare the machine")]
    Io(#[source] io::Error),
    /// The boot partition cannot be read.
    #[error("cannot read the image's boot partition")]
    Firmware(#[source] FirmwareError),
    /// The board would not start.
    #[error("the board would not start: {}", problems.join("; "))]
    Refused {
        /// Every reason.
        problems: Vec<String>,
    },
    /// The emulator's packages cannot be had.
    #[error("cannot make the emulator's tree")]
    Emulator(#[source] Box<BuildError>),
    /// The worker failed.
    #[error("cannot start the emulator")]
    Sandbox(#[source] SandboxError),
    /// The machine ended before the agent answered.
    #[error("the machine ended before the agent answered; the console's last lines:\n{console}")]
    Ended {
        /// End of the console.
        console: String,
    },
    /// The agent did not answer in time.
    #[error("the agent did not answer within {seconds} s; the console's last lines:\n{console}")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
        /// End of the console.
        console: String,
    },
}

/// Returns QEMU's description of the machine's network.
fn network(machine: &Machine) -> String {
    let https = (false, machine.https_port, String::new(), 443);
    let ssh = machine
        .ssh_port
        .map(|port| (false, port, String::new(), 22));
    let others = machine.forwards.iter().map(|forward| {
        let address = forward.address.map(|address| address.to_string());
        let address = address.unwrap_or_default();
        (forward.is_udp, forward.local, address, forward.machine)
    });
    let all = std::iter::once(https).chain(ssh).chain(others);
    let forwards = all.map(|(is_udp, local, address, port)| {
        let protocol = if is_udp { "udp" } else { "tcp" };
        format!(",hostfwd={protocol}:127.0.0.1:{local}-{address}:{port}")
    });
    format!("user,id=net{}", forwards.collect::<String>())
}

/// Starts the machine.
pub fn start(
    host: &Host,
    lock: &Lock,
    machine: &Machine,
    sink: Sink<'_>,
) -> Result<Running, BootError> {
    let mut file = fs_err::File::open(&machine.disk).map_err(BootError::Io)?;
    let boot = BootPartition::read(&mut file).map_err(BootError::Firmware)?;
    let unknown = || BootError::Refused {
        problems: vec![format!("there is no board “{}”", machine.board)],
    };
    let board = Board::find(&machine.board).ok_or_else(unknown)?;
    let plan = firmware::plan(&boot, board).map_err(|problems| BootError::Refused { problems })?;
    let folder = machine.disk.with_extension("boot");
    fs_err::create_dir_all(&folder).map_err(BootError::Io)?;
    let initramfs = plan.initramfs.clone().unwrap_or_default();
    for (name, target) in [
        (plan.kernel.as_str(), "kernel"),
        (initramfs.as_str(), "initramfs"),
    ] {
        let bytes = boot.file(name).unwrap_or_default();
        fs_err::write(folder.join(target), bytes).map_err(BootError::Io)?;
    }
    fs_err::write(&machine.console, "").map_err(BootError::Io)?;
    let emulator = emulator_tree(host, lock, sink)?;
    let forward = network(machine);
    // The guest's serial line is called otherwise than a Pi's.
    let line = format!(
        "{} console=ttyAMA0 {}",
        plan.command_line, machine.arguments
    );
    let (memory, cores) = (
        machine.memory_mib.to_string(),
        host.threads.clamp(1, 4).to_string(),
    );
    let command = [
        "/usr/bin/qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        &cores,
        "-m",
        &memory,
        "-display",
        "none",
        "-monitor",
        "none",
        "-no-reboot",
        "-serial",
        "file:/machine/console",
        "-kernel",
        "/machine/boot/kernel",
        "-initrd",
        "/machine/boot/initramfs",
        "-append",
        line.trim(),
        "-drive",
        "file=/machine/disk,format=raw,if=none,id=disk,cache=unsafe",
        "-device",
        "virtio-blk-device,drive=disk",
        "-netdev",
        &forward,
        "-device",
        "virtio-net-device,netdev=net",
        "-device",
        "virtio-rng-device",
    ];
    let bind = |from: &Path, to: &str| Bind {
        from: from.to_owned(),
        to: to.into(),
        writable: true,
    };
    let log = folder.join("qemu.log");
    fs_err::write(&log, "").map_err(BootError::Io)?;
    let run = program::Run {
        confinement: Confinement {
            root: Root::Folder(emulator),
            binds: vec![
                bind(&machine.disk, "machine/disk"),
                bind(&machine.console, "machine/console"),
                bind(&folder, "machine/boot"),
            ],
            emulator: None,
        },
        command: command.map(str::to_owned).into(),
        environment: [("PATH".to_owned(), "/usr/bin".to_owned())].into(),
        folder: "/".into(),
        log: Some("/machine/boot/qemu.log".into()),
    };
    sandbox::start(host, Network::Host, &Task::Run(run)).map_err(BootError::Sandbox)
}

fn emulator_tree(host: &Host, lock: &Lock, sink: Sink<'_>) -> Result<PathBuf, BootError> {
    let packages: Vec<&LockedPackage> = lock.emulator.iter().collect();
    let fail = |error| BootError::Emulator(Box::new(error));
    let store = pipeline::open_store(host).map_err(fail)?;
    let downloader = Downloader::new().map_err(|error| fail(error.into()))?;
    let vault = crate::vault::Vault::new(host);
    vault
        .fill(host, &downloader, &packages, sink)
        .map_err(|error| fail(error.into()))?;
    pipeline::unpacked_tree(host, &store, "emulator", &lock.emulator, sink).map_err(fail)
}

/// Waits until the agent says that it is healthy. Returns how long it took.
pub fn wait_until_healthy(
    machine: &Machine,
    running: &mut Running,
    limit: Duration,
    sink: Sink<'_>,
) -> Result<Duration, BootError> {
    let started = Instant::now();
    drop(rustls::crypto::ring::default_provider().install_default());
    // The certificate was made by this device a moment ago: nobody can vouch for it.
    let client = reqwest::blocking::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| BootError::Io(io::Error::other(error)))?;
    let address = format!("https://127.0.0.1:{}/healthz", machine.https_port);
    loop {
        if client
            .get(&address)
            .send()
            .is_ok_and(|response| response.status().is_success())
        {
            return Ok(started.elapsed());
        }
        if !running.is_running() {
            return Err(BootError::Ended {
                console: tail(&machine.console),
            });
        }
        if started.elapsed() > limit {
            return Err(BootError::TimedOut {
                seconds: limit.as_secs(),
                console: tail(&machine.console),
            });
        }
        sink(Event::Progress {
            done: started.elapsed().as_secs(),
            total: limit.as_secs(),
            unit: "seconds".into(),
        });
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Returns the last lines of the console.
pub fn tail(console: &Path) -> String {
    let mut text = Vec::new();
    drop(fs_err::File::open(console).and_then(|mut file| file.read_to_end(&mut text)));
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
