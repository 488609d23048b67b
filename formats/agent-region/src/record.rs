//! Two records that are written in turn: the newer whole one holds.

use std::io;

use crate::disk::Disk;
use crate::state::State;
use crate::{OFFSET, RegionError};

/// Number of the form. Fields may be added without another number: what a program does not know it keeps.
pub(crate) const FORMAT: u32 = 1;
/// Length of a record in bytes: the largest physical sector of today's disks, so that one write never touches the other.
const RECORD: usize = 4096;
const MAGIC: &[u8; 8] = b"BAKELITE";
const HEAD: usize = 8 + 4 + 8 + 4;
/// Room for the state, in bytes.
pub(crate) const ROOM: usize = RECORD - HEAD - 4;

/// Which record was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    number: u64,
}

impl Position {
    const fn offset(self) -> u64 {
        OFFSET + (self.number % 2) * RECORD as u64
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Returns the newest whole record.
pub(crate) fn newest(disk: &mut impl Disk) -> Result<Option<(State, Position)>, RegionError> {
    let mut newest: Option<(State, Position)> = None;
    for place in 0..2 {
        let mut bytes = [0; RECORD];
        disk.read_at(OFFSET + place * RECORD as u64, &mut bytes)?;
        let Some((state, position)) = parse(&bytes, place)? else {
            continue;
        };
        if newest
            .as_ref()
            .is_none_or(|(_, other)| other.number < position.number)
        {
            newest = Some((state, position));
        }
    }
    Ok(newest)
}

/// Reads one record. One that is torn, or never was, is `None`.
fn parse(bytes: &[u8; RECORD], place: u64) -> Result<Option<(State, Position)>, RegionError> {
    if &bytes[..8] != MAGIC || number(bytes, RECORD - 4) != crc32c::crc32c(&bytes[..RECORD - 4]) {
        return Ok(None);
    }
    let format = number(bytes, 8);
    if format > FORMAT {
        return Err(RegionError::Newer { found: format });
    }
    let position = Position {
        number: u64::from_le_bytes(bytes[12..20].try_into().expect("eight bytes")),
    };
    let length = number(bytes, 20) as usize;
    // A record in the other's place was copied there by somebody.
    if position.number % 2 != place || length > ROOM {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&bytes[HEAD..HEAD + length])
        .ok()
        .map(|state| (state, position)))
}

/// Writes the record after `last` and flushes it.
pub(crate) fn write(
    disk: &mut impl Disk,
    last: Option<Position>,
    state: &State,
) -> Result<Position, RegionError> {
    let position = Position {
        number: last.map_or(1, |last| last.number + 1),
    };
    let body = serde_json::to_vec(state).map_err(io::Error::other)?;
    if body.len() > ROOM {
        return Err(RegionError::TooLong { length: body.len() });
    }
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..20].copy_from_slice(&position.number.to_le_bytes());
    bytes[20..24].copy_from_slice(
        &u32::try_from(body.len())
            .expect("fits a record")
            .to_le_bytes(),
    );
    bytes[HEAD..HEAD + body.len()].copy_from_slice(&body);
    let check = crc32c::crc32c(&bytes[..RECORD - 4]);
    bytes[RECORD - 4..].copy_from_slice(&check.to_le_bytes());
    disk.write_at(position.offset(), &bytes)?;
    disk.flush()?;
    Ok(position)
}
