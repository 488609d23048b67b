//! Starts an image in an emulated machine, and plays its firmware: what the board would load is read out of the image's own
//! boot partition by the firmware model and handed to QEMU, at each restart again.

mod device_tree;
mod monitor;

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
use monitor::Monitor;

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
    /// Whether the disk takes nothing, as a worn-out card.
    pub is_read_only: bool,
    /// Whether it starts again when it restarts itself; else that ends it.
    pub restarts: bool,
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

/// A machine that runs, and restarts when it says so, as its firmware would.
#[derive(Debug)]
pub struct Session<'h> {
    host: &'h Host,
    machine: Machine,
    emulator: PathBuf,
    running: Running,
    monitor: Monitor,
    starts: u32,
}

/// Name of the file that stands for the firmware's registers: the machine sees it as a disk with this serial number, and
/// writes `tryboot=1` into its only sector. It is empty after a power cut, and each start empties it.
const REGISTERS: &str = "registers";
const REGISTERS_SERIAL: &str = "bakelite-firmware";
const TRYBOOT: &[u8] = b"tryboot=1";
/// Bits of `PM_RSTS`: the power came; a full reset, by which Linux restarts (BCM2835 ARM Peripherals; Linux: `bcm2835_wdt.c`).
const POWER_CAME: u32 = 0x1000;
const FULL_RESET: u32 = 0x20;
/// Boot mode "SD card" (Raspberry Pi documentation, "/proc/device-tree/chosen/bootloader").
const SD_CARD: u32 = 1;

impl<'h> Session<'h> {
    /// Starts the machine as when its power comes.
    pub fn start(
        host: &'h Host,
        lock: &Lock,
        machine: Machine,
        sink: Sink<'_>,
    ) -> Result<Self, BootError> {
        let emulator = emulator_tree(host, lock, sink)?;
        fs_err::create_dir_all(machine.folder()).map_err(BootError::Io)?;
        fs_err::write(&machine.console, "").map_err(BootError::Io)?;
        let (running, monitor) = start(host, &emulator, &machine, false, POWER_CAME)?;
        Ok(Self {
            host,
            machine,
            emulator,
            running,
            monitor,
            starts: 1,
        })
    }

    /// Returns the machine.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns how often it was started.
    pub const fn starts(&self) -> u32 {
        self.starts
    }

    /// Whether the machine is on. One that has restarted itself is started again here, from the slot that its firmware would
    /// choose.
    pub fn is_on(&mut self) -> Result<bool, BootError> {
        if self.running.is_running() {
            return Ok(true);
        }
        let idle = Monitor::idle();
        let ended = std::mem::replace(&mut self.monitor, idle);
        if !self.machine.restarts || !ended.was_restart() {
            return Ok(false);
        }
        let registers = fs_err::read(self.machine.folder().join(REGISTERS)).unwrap_or_default();
        let is_tryboot = registers.starts_with(TRYBOOT);
        let (running, monitor) = start(
            self.host,
            &self.emulator,
            &self.machine,
            is_tryboot,
            FULL_RESET,
        )?;
        self.running = running;
        self.monitor = monitor;
        self.starts += 1;
        Ok(true)
    }
}

impl Machine {
    /// Folder for what the emulator reads.
    fn folder(&self) -> PathBuf {
        self.disk.with_extension("boot")
    }
}

/// Does what the firmware does: chooses, loads, tells the kernel, and lets it run.
fn start(
    host: &Host,
    emulator: &Path,
    machine: &Machine,
    is_tryboot: bool,
    reset: u32,
) -> Result<(Running, Monitor), BootError> {
    let mut file = fs_err::File::open(&machine.disk).map_err(BootError::Io)?;
    let boot = BootPartition::read_after(&mut file, is_tryboot).map_err(BootError::Firmware)?;
    let unknown = || BootError::Refused {
        problems: vec![format!("there is no board “{}”", machine.board)],
    };
    let board = Board::find(&machine.board).ok_or_else(unknown)?;
    let plan = firmware::plan(&boot, board).map_err(|problems| BootError::Refused { problems })?;
    let folder = machine.folder();
    let initramfs = plan.initramfs.clone().unwrap_or_default();
    for (name, target) in [
        (plan.kernel.as_str(), "kernel"),
        (initramfs.as_str(), "initramfs"),
    ] {
        let bytes = boot.file(name).unwrap_or_default();
        fs_err::write(folder.join(target), bytes).map_err(BootError::Io)?;
    }
    let log = folder.join("qemu.log");
    fs_err::write(&log, "").map_err(BootError::Io)?;
    drop(fs_err::remove_file(folder.join(monitor::SOCKET)));
    fs_err::write(folder.join(REGISTERS), [0; 512]).map_err(BootError::Io)?;

    let has_slots = boot.autoboot.is_some();
    let mut command = arguments(host, machine, &plan.command_line, has_slots);
    if has_slots {
        let told = [
            ("partition", boot.number),
            ("tryboot", u32::from(is_tryboot)),
            ("boot-mode", SD_CARD),
            ("pm_rsts", reset),
        ];
        let mut dump = command.clone();
        dump.extend(["-machine".into(), "dumpdtb=/machine/boot/plain.dtb".into()]);
        let task = Task::Run(program(emulator, machine, dump));
        sandbox::run(host, Network::None, &task, &mut |_| {}).map_err(BootError::Sandbox)?;
        let plain = fs_err::read(folder.join("plain.dtb")).map_err(BootError::Io)?;
        let tree =
            device_tree::with_chosen_node(&plain, "bootloader", &told).map_err(BootError::Io)?;
        fs_err::write(folder.join("board.dtb"), tree).map_err(BootError::Io)?;
        command.extend(["-dtb".into(), "/machine/boot/board.dtb".into()]);
    }
    let task = Task::Run(program(emulator, machine, command));
    let running = sandbox::start(host, Network::Host, &task).map_err(BootError::Sandbox)?;
    let monitor = Monitor::listen(&folder).map_err(BootError::Io)?;
    Ok((running, monitor))
}

/// What keeps secrets of the kernel from its programs, and costs the emulator a flush of all its translations at each call of
/// the kernel (Linux: Documentation/admin-guide/kernel-parameters.txt). This machine has no secrets.
const PLAIN: &str = "nokaslr mitigations=off";

/// Returns the emulator's arguments.
fn arguments(host: &Host, machine: &Machine, command_line: &str, has_slots: bool) -> Vec<String> {
    // The guest's serial line is called otherwise than a Pi's.
    let line = format!("{command_line} console=ttyAMA0 {PLAIN}");
    let monitor = format!("unix:/machine/boot/{},server=on,wait=off", monitor::SOCKET);
    let mut all: Vec<String> = [
        "/usr/bin/qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        &host.threads.clamp(1, 4).to_string(),
        "-m",
        &machine.memory_mib.to_string(),
        "-display",
        "none",
        "-monitor",
        "none",
        "-qmp",
        &monitor,
        "-no-reboot",
        "-chardev",
        "file,id=console,path=/machine/console,append=on",
        "-serial",
        "chardev:console",
        "-kernel",
        "/machine/boot/kernel",
        "-initrd",
        "/machine/boot/initramfs",
        "-append",
        &line,
        "-drive",
        &format!(
            "file=/machine/disk,format=raw,if=none,id=disk,cache=unsafe,readonly={}",
            if machine.is_read_only { "on" } else { "off" }
        ),
        "-device",
        "virtio-blk-device,drive=disk",
        "-netdev",
        &network(machine),
        "-device",
        "virtio-net-device,netdev=net",
        "-device",
        "virtio-rng-device",
        // A watchdog, which every Pi has; when nobody pings it, it resets the machine.
        "-device",
        "i6300esb",
    ]
    .map(str::to_owned)
    .into();
    if has_slots {
        let registers = format!("file=/machine/boot/{REGISTERS},format=raw,if=none,id=registers");
        let device = format!("virtio-blk-device,drive=registers,serial={REGISTERS_SERIAL}");
        all.extend(["-drive".into(), registers, "-device".into(), device]);
    }
    all
}

fn program(emulator: &Path, machine: &Machine, command: Vec<String>) -> program::Run {
    let bind = |from: &Path, to: &str| Bind {
        from: from.to_owned(),
        to: to.into(),
        writable: true,
    };
    program::Run {
        confinement: Confinement {
            root: Root::Folder(emulator.to_owned()),
            binds: vec![
                bind(&machine.disk, "machine/disk"),
                bind(&machine.console, "machine/console"),
                bind(&machine.folder(), "machine/boot"),
            ],
            emulator: None,
        },
        command,
        environment: [("PATH".to_owned(), "/usr/bin".to_owned())].into(),
        folder: "/".into(),
        log: Some("/machine/boot/qemu.log".into()),
    }
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
    session: &mut Session<'_>,
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
    let address = format!("https://127.0.0.1:{}/healthz", session.machine.https_port);
    loop {
        if client
            .get(&address)
            .send()
            .is_ok_and(|response| response.status().is_success())
        {
            return Ok(started.elapsed());
        }
        if !session.is_on()? {
            return Err(BootError::Ended {
                console: tail(&session.machine.console),
            });
        }
        if started.elapsed() > limit {
            return Err(BootError::TimedOut {
                seconds: limit.as_secs(),
                console: tail(&session.machine.console),
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
