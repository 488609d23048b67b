//! The head of a disk as a device with two slots finds it: partition tables, the agent's region, `autoboot.txt`, and where a file
//! system and its hash tree say how long they are.
#![no_main]

use std::io;

use agent_region::disk::Disk;
use agent_region::{LENGTH, OFFSET, Region};
use agent_update::boot::{Selector, partitions};
use agent_update::machine::{Cause, Event, next};
use boot_partition::autoboot::Autoboot;
use verity_tree::{Superblock, erofs_blocks, leaf_blocks, tree_blocks};

/// The first sectors and the region; all else is zeros.
struct Memory {
    head: Vec<u8>,
    region: Vec<u8>,
}

impl Disk for Memory {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        for (at, byte) in (offset..).zip(bytes) {
            let place = |from: u64| usize::try_from(at - from).ok();
            *byte = match at {
                at if (OFFSET..OFFSET + LENGTH).contains(&at) => place(OFFSET).and_then(|at| self.region.get(at)).copied().unwrap_or(0),
                _ => place(0).and_then(|at| self.head.get(at)).copied().unwrap_or(0),
            };
        }
        Ok(())
    }
    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn length(&mut self) -> io::Result<u64> {
        Ok(4 << 20)
    }
}

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, Vec<u8>, bool)| {
    let (head, mut region, is_sealed) = input;
    if is_sealed {
        // A record whose sum is right.
        region.resize(4096, 0);
        region[..8].copy_from_slice(b"BAKELITE");
        let sum = crc32c::crc32c(&region[..4092]).to_le_bytes();
        region[4092..].copy_from_slice(&sum);
    }
    let read = Autoboot::read(&head);
    if let (Some(first @ 0..100), Some(other @ 0..100)) = (read.partition, read.tryboot) {
        assert_eq!(Autoboot::read(&Autoboot::new(first, other).to_file()).chosen(true), Some(other).filter(|other| *other != 0));
    }
    if let Ok(blocks) = erofs_blocks(&head) {
        assert!(leaf_blocks(blocks) <= tree_blocks(blocks) && tree_blocks(blocks) <= blocks.max(1));
    }
    if let Some(Ok(superblock)) = head.first_chunk().map(Superblock::from_bytes) {
        assert_eq!(Superblock::from_bytes(&superblock.to_bytes()).ok().map(|again| again.salt), Some(superblock.salt));
    }
    let length = head.len() as u64;
    if let Ok(used) = boot_partition::fat::used(&mut io::Cursor::new(&head), 0, length) {
        assert!(used <= length);
    }
    let mut disk = Memory { head, region };
    drop(partitions(&mut disk));
    drop(Selector::find(&mut disk));
    if let Ok(region) = Region::read(&mut disk) {
        // Whatever state it says, a start is answered.
        let slot = region.state().good.other();
        for cause in [Cause::Power, Cause::Crash] {
            let step = next(region.state(), Event::Started { slot, boot: "x".into(), cause });
            assert!(step.is_ok());
        }
    }
    drop(Region::events(&mut disk));
});
