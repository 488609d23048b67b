//! A board in USB boot mode, in software: it runs in a virtual machine whose kernel is its own USB host
//! (`dummy_hcd`), and speaks the board's side through FunctionFS. The kernel's and libusb's own code is between
//! it and what is tested.
//!
//! `usb-board DISK LOG`: goes through its two stages, then shows DISK as a USB disk until it is ended. LOG says what
//! it was sent.
//!
//! Forms: kernel, `Documentation/usb/functionfs.rst`, `include/uapi/linux/usb/functionfs.h`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use content_digest::Sha256Digest;

const GADGET: &str = "/sys/kernel/config/usb_gadget/board";
const FFS: &str = "/ffs";
/// `FUNCTIONFS_DESCRIPTORS_MAGIC_V2`, and the flags for full and high speed, and for requests to the device itself.
const DESCRIPTORS: u32 = 3;
const FLAGS: u32 = 1 | 2 | 64;
/// `FUNCTIONFS_STRINGS_MAGIC`.
const STRINGS: u32 = 2;
/// `FUNCTIONFS_SETUP`.
const SETUP: u8 = 4;

fn put(path: &str, text: &str) {
    fs_err::write(Path::new(GADGET).join(path), text).unwrap_or_else(|it| panic!("{path}: {it}"));
}

fn make(path: &str) {
    fs_err::create_dir_all(Path::new(GADGET).join(path)).expect("configfs takes it");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, disk, log] = &arguments[..] else {
        panic!("usb-board DISK LOG");
    };
    make("");
    put("idVendor", "0x0a5c");
    put("idProduct", "0x2711");
    make("configs/c.1");
    make("functions/ffs.board");
    let functions = |name: &str| Path::new(GADGET).join("functions").join(name);
    let linked = |name: &str| Path::new(GADGET).join("configs/c.1").join(name);
    fs_err::os::unix::fs::symlink(functions("ffs.board"), linked("ffs.board")).expect("a link");
    let mut board = Board::new(log);
    board.rom();
    // The next stage has a serial number of another index: the names that the first one had stay taken.
    make("strings/0x409");
    put("strings/0x409/serialnumber", "10000000abcdef01");
    board.files();
    let ended = fs_err::remove_file(linked("ffs.board"));
    ended.expect("configfs takes it");
    make("functions/mass_storage.0");
    put("functions/mass_storage.0/lun.0/removable", "1");
    put("functions/mass_storage.0/lun.0/file", disk);
    let storage = functions("mass_storage.0");
    fs_err::os::unix::fs::symlink(storage, linked("mass_storage.0")).expect("a link");
    put("idProduct", "0x0104");
    put("UDC", "dummy_udc.0");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

struct Board {
    control: File,
    bulk: Option<File>,
    log: File,
}

impl Board {
    fn new(log: &str) -> Self {
        let mut control = File::options();
        let control = control.read(true).write(true).open(format!("{FFS}/ep0"));
        let mut control = control.expect("FunctionFS is mounted");
        control.write_all(&descriptors()).expect("descriptors");
        control.write_all(&strings()).expect("strings");
        Self {
            control,
            bulk: None,
            log: File::create(log).expect("a log"),
        }
    }

    fn say(&mut self, text: &str) {
        writeln!(self.log, "{text}").expect("the log takes it");
    }

    /// Waits for the next request to the device: its first byte and its number of 32 bits.
    fn request(&mut self) -> (u8, u32) {
        loop {
            let mut event = [0; 12];
            self.control.read_exact(&mut event).expect("an event");
            if event[8] == SETUP {
                let number = u32::from_le_bytes([event[2], event[3], event[4], event[5]]);
                return (event[0], number);
            }
        }
    }

    /// Takes what the host sends: a number, and so many bytes if there are to be some.
    fn take(&mut self, with_bytes: bool) -> (u32, Vec<u8>) {
        let (kind, length) = self.request();
        assert_eq!(kind, 0x40, "the host was to send something");
        // Of no length: this acknowledges.
        let acknowledged = self.control.read(&mut []);
        acknowledged.expect("the host is there");
        let mut bytes = vec![0; if with_bytes { length as usize } else { 0 }];
        if !bytes.is_empty() {
            let open = || File::open(format!("{FFS}/ep1")).expect("the bulk endpoint");
            let bulk = self.bulk.get_or_insert_with(open);
            bulk.read_exact(&mut bytes).expect("bytes");
        }
        (length, bytes)
    }

    /// Answers what the host asks.
    fn give(&mut self, bytes: &[u8]) {
        let (kind, length) = self.request();
        assert_eq!(
            (kind, length as usize),
            (0xc0, bytes.len()),
            "the host was to ask"
        );
        self.control.write_all(bytes).expect("the host is there");
    }

    /// The boot ROM.
    fn rom(&mut self) {
        put("UDC", "dummy_udc.0");
        let (_, head) = self.take(true);
        let (length, stage) = self.take(true);
        assert_eq!(
            head[..4],
            length.to_le_bytes(),
            "the head says how long it is"
        );
        self.say(&format!(
            "second-stage {} {}",
            stage.len(),
            Sha256Digest::of(&stage)
        ));
        self.give(&0_i32.to_le_bytes());
        self.leave();
    }

    /// The second stage, which asks for files.
    fn files(&mut self) {
        put("UDC", "dummy_udc.0");
        self.ask(0, "*SERIAL_NUM*10000000abcdef01");
        assert_eq!(self.take(false).0, 0);
        self.ask(0, "config.txt");
        let (length, _) = self.take(false);
        self.say(&format!("config.txt-size {length}"));
        for name in ["config.txt", "missing.bin", "boot.img"] {
            self.ask(1, name);
            let (_, bytes) = self.take(true);
            self.say(&format!(
                "{name} {} {}",
                bytes.len(),
                Sha256Digest::of(&bytes)
            ));
        }
        self.ask(2, "");
        self.leave();
    }

    fn ask(&mut self, command: i32, name: &str) {
        let mut request = command.to_le_bytes().to_vec();
        request.extend(name.as_bytes());
        request.resize(260, 0);
        self.give(&request);
    }

    /// Leaves the bus, as the chip does when it starts what it was given.
    fn leave(&mut self) {
        std::thread::sleep(Duration::from_millis(300));
        self.bulk = None;
        put("UDC", "\n");
        std::thread::sleep(Duration::from_millis(700));
    }
}

/// One interface with a bulk endpoint to the device and one from it, as the ROM's.
fn descriptors() -> Vec<u8> {
    let speed = |packet: u16| {
        let [low, high] = packet.to_le_bytes();
        let mut all = vec![9, 4, 0, 0, 2, 0xff, 0, 0, 0];
        all.extend([7, 5, 1, 2, low, high, 0]);
        all.extend([7, 5, 0x82, 2, low, high, 0]);
        all
    };
    let (full, high) = (speed(64), speed(512));
    let length = u32::try_from(20 + full.len() + high.len()).expect("short");
    let head = [DESCRIPTORS, length, FLAGS, 3, 3];
    let mut all: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    all.extend(full);
    all.extend(high);
    all
}

/// Four names that nobody reads: they take the first indices.
fn strings() -> Vec<u8> {
    let names = b"a\0b\0c\0d\0";
    let length = u32::try_from(16 + 2 + names.len()).expect("short");
    let head = [STRINGS, length, 4, 1];
    let mut all: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    all.extend(0x0409_u16.to_le_bytes());
    all.extend(names);
    all
}
