use proptest::prelude::*;

use super::*;

/// A disk in memory that can stop in the middle of a write.
#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    left: usize,
}

impl Memory {
    fn new() -> Self {
        Self {
            bytes: vec![0; (OFFSET + LENGTH) as usize],
            left: usize::MAX,
        }
    }
}

impl Disk for Memory {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (index, sector) in bytes.chunks(512).enumerate() {
            if self.left == 0 {
                return Err(io::Error::other("the power is gone"));
            }
            self.left -= 1;
            let at = offset as usize + index * 512;
            self.bytes[at..at + sector.len()].copy_from_slice(sector);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn length(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn state(index: u32) -> State {
    State {
        rollback_index: index,
        good: if index.is_multiple_of(2) {
            Slot::A
        } else {
            Slot::B
        },
        ..State::default()
    }
}

#[test]
fn an_empty_region_is_a_new_device() {
    let region = Region::read(&mut Memory::new()).unwrap();
    assert!(!region.is_written());
    assert_eq!(region.state(), &State::default());
}

#[test]
fn a_write_that_stops_anywhere_leaves_the_old_or_the_new_state() {
    let mut disk = Memory::new();
    let mut region = Region::read(&mut disk).unwrap();
    for index in 1..5 {
        for sectors in 0..=8 {
            let mut cut = disk.clone();
            cut.left = sectors;
            let mut again = Region::read(&mut cut).unwrap();
            let whole = again.write(&mut cut, state(index)).is_ok();
            let found = Region::read(&mut cut).unwrap().state().rollback_index;
            assert_eq!(whole, sectors == 8);
            // What follows after the body is zeros, as before: the last sector makes it whole.
            assert_eq!(found, if whole { index } else { index - 1 }, "{sectors}");
        }
        region.write(&mut disk, state(index)).unwrap();
    }
}

#[test]
fn what_a_newer_program_wrote_is_kept_or_refused() {
    let mut disk = Memory::new();
    let mut region = Region::read(&mut disk).unwrap();
    let text = r#"{"good":"b","phase":{"phase":"idle"},"colour":"brown"}"#;
    let newer: State = serde_json::from_str(text).unwrap();
    region.write(&mut disk, newer).unwrap();
    let read = Region::read(&mut disk).unwrap();
    assert_eq!(read.state().more["colour"], "brown");
    let at = OFFSET as usize + 4096;
    disk.bytes[at + 8] = 2;
    let check = crc32c::crc32c(&disk.bytes[at..at + 4092]);
    disk.bytes[at + 4092..at + 4096].copy_from_slice(&check.to_le_bytes());
    let error = Region::read(&mut disk).unwrap_err();
    assert!(matches!(error, RegionError::Newer { found: 2 }), "{error}");
}

#[test]
fn the_ring_keeps_the_last_events_and_cuts_long_ones() {
    let mut disk = Memory::new();
    for number in 1..=40 {
        // Each time a program of its own.
        let mut region = Region::read(&mut disk).unwrap();
        let text = format!("{number} {}", "ä\u{1}".repeat(200));
        region.log(&mut disk, number, Kind::Update, &text).unwrap();
    }
    let events = Region::events(&mut disk).unwrap();
    assert_eq!(events.len(), 32);
    assert_eq!((events[0].number, events[31].number), (9, 40));
    assert!(
        events
            .iter()
            .all(|event| event.text.starts_with(&event.number.to_string()))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 4096), fix: bool) {
        let mut disk = Memory::new();
        let at = OFFSET as usize;
        disk.bytes[at..at + 4096].copy_from_slice(&bytes);
        if fix {
            disk.bytes[at..at + 8].copy_from_slice(b"BAKELITE");
            let check = crc32c::crc32c(&disk.bytes[at..at + 4092]);
            disk.bytes[at + 4092..at + 4096].copy_from_slice(&check.to_le_bytes());
        }
        drop(Region::read(&mut disk));
    }
}
