//! A board's way from its boot ROM to a USB disk. It leaves the bus and comes back between; what comes back at
//! the same port is the same board.

use std::time::{Duration, Instant};

use super::chip::Chip;
use super::files::{BootFiles, FilesError};
use super::protocol::{Facts, ProtocolError, Transport, give_second_stage, serve};

/// How long a board may be away: its firmware starts a Linux, which takes up to half a minute.
const AWAY: Duration = Duration::from_mins(1);
/// Most stages: the boot ROM, the second stage, and files once or twice.
const STAGES: usize = 6;

/// A board on the bus.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Its chip.
    pub chip: Chip,
    /// Where it is plugged in, such as `1-1.4`.
    pub port: String,
    /// Index of its serial number's text, which tells the stages apart: the boot ROM has 0 or 3.
    pub serial_index: u8,
}

impl Found {
    /// Whether the boot ROM waits for the second stage.
    pub fn is_rom(&self) -> bool {
        matches!(self.serial_index, 0 | 3)
    }
}

/// The bus. The real one is libusb's; tests have one of their own.
pub trait Bus {
    /// Lists boards in USB boot mode.
    fn boards(&mut self) -> std::io::Result<Vec<Found>>;
    /// Opens one.
    fn open(&mut self, board: &Found) -> std::io::Result<Box<dyn Transport>>;
    /// Whether something at this port shows a disk.
    fn has_disk(&mut self, port: &str) -> bool;
    /// The time since any moment.
    fn now(&mut self) -> Instant;
    /// Waits a moment.
    fn pause(&mut self);
}

/// Where a board is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It takes the second stage.
    SecondStage,
    /// It takes files.
    Files,
    /// It was given a file of so many bytes, or none.
    File(String, Option<u64>),
    /// It is away, and should come back.
    Away,
    /// It shows its disk.
    Disk,
}

/// A board did not get there.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody waits at that port.
    #[error(
        "no board waits at port {0}: fit the jumper for USB boot (nRPIBOOT), or hold the button, and plug it in again; a board that has booted already must lose its power first"
    )]
    NotThere(String),
    /// It did not come back.
    #[error("the board at port {port} was last seen {last}, and did not come back in {} seconds", AWAY.as_secs())]
    Lost {
        /// The port.
        port: String,
        /// What it was doing.
        last: &'static str,
    },
    /// It begins again and again.
    #[error(
        "the board at port {0} begins again and again: the boot files are for another board, or its power supply is weak"
    )]
    Circle(String),
    /// USB.
    #[error("USB cannot be used")]
    Usb(#[from] std::io::Error),
    /// The conversation.
    #[error("the board at port {port}")]
    Protocol {
        /// The port.
        port: String,
        /// What went wrong.
        #[source]
        source: ProtocolError,
    },
    /// The boot files.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Takes the board at a port to where it shows its disk. Returns what it told of itself.
pub fn boot(
    bus: &mut dyn Bus,
    port: &str,
    files: &BootFiles,
    told: &mut dyn FnMut(State),
) -> Result<Facts, SessionError> {
    let mut facts = Facts::new();
    let mut last = "before anything was sent";
    for stage in 0..STAGES {
        let Some(board) = await_board(bus, port, stage, last)? else {
            told(State::Disk);
            return Ok(facts);
        };
        let protocol = |source| SessionError::Protocol {
            port: port.to_owned(),
            source,
        };
        let mut transport = bus.open(&board)?;
        if board.is_rom() {
            told(State::SecondStage);
            let code = files.second_stage(board.chip, port)?;
            let signature = if board.chip.signs_second_stage() {
                files.find("bootcode.sig", board.chip, port)?
            } else {
                None
            };
            let signature = signature.as_deref();
            let given = give_second_stage(&mut *transport, board.chip, &code, signature);
            given.map_err(protocol)?;
            last = "starting the second stage";
        } else {
            told(State::Files);
            let mut told_of = |name: &str, size| told(State::File(name.to_owned(), size));
            let served = serve(
                &mut *transport,
                files,
                board.chip,
                port,
                &mut facts,
                &mut told_of,
            );
            served.map_err(protocol)?;
            last = "starting what it was given";
        }
        drop(transport);
        told(State::Away);
        await_leave(bus, &board)?;
    }
    Err(SessionError::Circle(port.to_owned()))
}

/// Waits for the board, or for its disk: then there is nothing more to do.
fn await_board(
    bus: &mut dyn Bus,
    port: &str,
    stage: usize,
    last: &'static str,
) -> Result<Option<Found>, SessionError> {
    let until = bus.now() + AWAY;
    loop {
        let boards = bus.boards()?;
        if let Some(board) = boards.into_iter().find(|board| board.port == port) {
            return Ok(Some(board));
        }
        if stage > 0 && bus.has_disk(port) {
            return Ok(None);
        }
        if stage == 0 {
            return Err(SessionError::NotThere(port.to_owned()));
        }
        if bus.now() >= until {
            let port = port.to_owned();
            return Err(SessionError::Lost { port, last });
        }
        bus.pause();
    }
}

/// Waits until the board left the bus or is another stage: what is there is not taken for the next stage.
fn await_leave(bus: &mut dyn Bus, board: &Found) -> Result<(), SessionError> {
    let until = bus.now() + Duration::from_secs(5);
    while bus.now() < until {
        if !bus.boards()?.contains(board) {
            return Ok(());
        }
        bus.pause();
    }
    Ok(())
}
