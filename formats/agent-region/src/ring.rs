//! The last events, for people: 32 places that are written in turn.

use std::io;

use serde::{Deserialize, Serialize};

use crate::OFFSET;
use crate::disk::Disk;

/// Where the ring begins within the region, in bytes.
const RING: u64 = 16 << 10;
const PLACES: u64 = 32;
/// Length of all places in bytes.
const ALL: usize = 32 * PLACE;
/// Length of a place in bytes.
const PLACE: usize = 1024;
const MAGIC: &[u8; 8] = b"BAKEVENT";
const HEAD: usize = 8 + 8 + 4;
const ROOM: usize = PLACE - HEAD - 4;
/// Longest text in bytes: room stays for the other fields, and for what JSON writes for a control character.
const LONGEST_TEXT: usize = 140;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A slot was started.
    Start,
    /// An update went a step further.
    Update,
    /// A check of health, and how it went.
    Health,
    /// Something failed.
    Failure,
    /// What a newer program wrote.
    #[serde(other)]
    Other,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number; each is one higher than the one before.
    #[serde(skip)]
    pub number: u64,
    /// Seconds since 1970 by the device's clock, which may have been wrong.
    pub time: u64,
    /// What it is about.
    pub kind: Kind,
    /// A sentence.
    pub text: String,
}

/// Returns all whole events, the oldest first.
pub(crate) fn read(disk: &mut impl Disk) -> io::Result<Vec<Entry>> {
    let mut bytes = vec![0; ALL];
    disk.read_at(OFFSET + RING, &mut bytes)?;
    let mut entries: Vec<Entry> = bytes.chunks_exact(PLACE).filter_map(parse).collect();
    entries.sort_by_key(|entry| entry.number);
    Ok(entries)
}

fn parse(bytes: &[u8]) -> Option<Entry> {
    let check = u32::from_le_bytes(bytes[PLACE - 4..].try_into().expect("four bytes"));
    if &bytes[..8] != MAGIC || check != crc32c::crc32c(&bytes[..PLACE - 4]) {
        return None;
    }
    let number = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
    let length = u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes")) as usize;
    let entry: Entry = serde_json::from_slice(bytes.get(HEAD..HEAD + length.min(ROOM))?).ok()?;
    Some(Entry { number, ..entry })
}

/// Writes an event.
pub(crate) fn write(
    disk: &mut impl Disk,
    number: u64,
    time: u64,
    kind: Kind,
    text: &str,
) -> io::Result<()> {
    let end = (0..=LONGEST_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let entry = Entry {
        number,
        time,
        kind,
        text: text[..end.unwrap_or(0)].to_owned(),
    };
    let body = serde_json::to_vec(&entry)?;
    let mut bytes = [0; PLACE];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..20].copy_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
    bytes[HEAD..HEAD + body.len()].copy_from_slice(&body);
    let check = crc32c::crc32c(&bytes[..PLACE - 4]);
    bytes[PLACE - 4..].copy_from_slice(&check.to_le_bytes());
    disk.write_at(OFFSET + RING + number % PLACES * PLACE as u64, &bytes)
}
