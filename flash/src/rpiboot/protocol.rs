//! The two conversations of a board in USB boot mode. Numbers go with the lowest byte first.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::chip::Chip;
use super::files::{BootFiles, FilesError};

/// The longest message of a board: a command and a name of 256 bytes.
const REQUEST: usize = 260;
/// How long a board may be silent. Writing its EEPROM takes seconds, and a read that was given up spoils the
/// next: this must not be shorter.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);
/// A board that never ends is ended: no boot asks for so many files.
const REQUESTS: usize = 10_000;
/// What a board tells of itself is kept up to here.
const FACTS: usize = 256;

/// What a board told of itself: serial number, addresses, state of its EEPROM.
pub type Facts = BTreeMap<String, String>;

/// USB as far as it is used. The real one speaks to libusb; tests have a board of their own.
pub trait Transport {
    /// Tells the board how many bytes come, and sends them. Nothing but the number if there are none.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Tells the board a number in place of bytes.
    fn announce(&mut self, length: u32) -> io::Result<()>;
    /// Gives the board the time that it needs before it can be asked how it went: a second.
    fn settle(&mut self);
    /// Receives so many bytes at most.
    fn receive(&mut self, length: usize, limit: Duration) -> io::Result<Vec<u8>>;
}

/// A conversation broke.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// USB.
    #[error("the board left while {doing}")]
    Usb {
        /// What was being done.
        doing: String,
        /// How.
        #[source]
        source: io::Error,
    },
    /// The board refused the second stage.
    #[error(
        "the board refuses the second stage (status {status}): it is for another board, or must be signed"
    )]
    Refused {
        /// What it said.
        status: i32,
    },
    /// The board says what nobody knows.
    #[error("the board asks for something unknown (command {0})")]
    Unknown(i32),
    /// The board asks without end.
    #[error("the board asks for files without end")]
    Endless,
    /// A file cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
}

fn usb(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ProtocolError {
    let doing = doing.into();
    move |source| ProtocolError::Usb { doing, source }
}

/// Gives the boot ROM its second stage.
pub(crate) fn give_second_stage(
    transport: &mut dyn Transport,
    chip: Chip,
    stage: &[u8],
    signature: Option<&[u8]>,
) -> Result<(), ProtocolError> {
    // Length and signature (SHA-1 HMAC); zeros where there is none.
    let mut head = [0; 24];
    let length = u32::try_from(stage.len()).unwrap_or(u32::MAX);
    head[..4].copy_from_slice(&length.to_le_bytes());
    let signature = signature.unwrap_or(&[]);
    let signed = signature.len().min(20);
    head[4..4 + signed].copy_from_slice(&signature[..signed]);
    let sending = || usb("the second stage was sent");
    transport.send(&head).map_err(sending())?;
    transport.send(stage).map_err(sending())?;
    transport.settle();
    match transport.receive(4, SILENCE) {
        Ok(answer) => match answer.try_into().map(i32::from_le_bytes) {
            Ok(0) => Ok(()),
            Ok(status) => Err(ProtocolError::Refused { status }),
            Err(_) => Err(ProtocolError::Refused { status: -1 }),
        },
        // These start the second stage before they answer.
        Err(_) if matches!(chip, Chip::Bcm2711 | Chip::Bcm2712) => Ok(()),
        Err(error) => Err(usb("the second stage was started")(error)),
    }
}

/// Serves files until the board has what it needs. `told` hears of every file.
pub(crate) fn serve(
    transport: &mut dyn Transport,
    files: &BootFiles,
    chip: Chip,
    port: &str,
    facts: &mut Facts,
    told: &mut dyn FnMut(&str, Option<u64>),
) -> Result<(), ProtocolError> {
    for _ in 0..REQUESTS {
        let request = transport.receive(REQUEST, SILENCE);
        let request = request.map_err(usb("it was asked what it needs"))?;
        let Some((command, name)) = read(&request) else {
            let text = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(usb("it said what it needs")(text));
        };
        if command == 2 {
            return Ok(());
        }
        if name.is_empty() {
            // It has all that it needs, and says so in its own way.
            transport.send(&[]).map_err(usb("it ended"))?;
            return Ok(());
        }
        if let Some(fact) = name.strip_prefix('*') {
            if let Some((key, value)) = fact.split_once('*')
                && facts.len() < FACTS
            {
                facts.insert(plain(key), plain(value));
            }
            transport.send(&[]).map_err(usb("it told of itself"))?;
            continue;
        }
        let doing = || usb(format!("it was given {}", plain(&name)));
        let found = files.find(&name, chip, port)?;
        match command {
            0 => {
                let length = found.as_ref().map_or(0, Vec::len);
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                transport.announce(length).map_err(doing())?;
            }
            1 => {
                let bytes = found.unwrap_or_default();
                told(
                    &plain(&name),
                    (!bytes.is_empty()).then_some(bytes.len() as u64),
                );
                transport.send(&bytes).map_err(doing())?;
            }
            other => return Err(ProtocolError::Unknown(other)),
        }
    }
    Err(ProtocolError::Endless)
}

/// Reads a request: a command, and a name that ends with a zero.
fn read(request: &[u8]) -> Option<(i32, String)> {
    let (command, name) = request.split_first_chunk::<4>()?;
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    Some((i32::from_le_bytes(*command), name))
}

/// What a board says goes to terminals and records.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
