//! A board in USB boot mode, in software: it runs in a virtual machine whose kernel is its own USB host
//! (`dummy_hcd`), and speaks the board's side through the kernel's gadgets. The kernel's and libusb's own code is
//! between it and what is tested.
//!
//! `usb-board DISK LOG`: goes through its two stages, then shows DISK as a USB disk until it is ended. LOG says what
//! it was sent. The boot ROM is a `FunctionFS`; the second stage is a `GadgetFS`, because only there the index of the
//! serial number, which tells the stages apart, can be chosen.
//!
//! Forms: kernel, `include/uapi/linux/usb/functionfs.h` and `gadgetfs.h`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use content_digest::Sha256Digest;

const GADGET: &str = "/sys/kernel/config/usb_gadget/board";
const FFS: &str = "/ffs";
const GADGETFS: &str = "/gadgetfs";
/// `FUNCTIONFS_DESCRIPTORS_MAGIC_V2`, and the flags for full and high speed, and for requests to the device itself.
const DESCRIPTORS: u32 = 3;
const FLAGS: u32 = 1 | 2 | 64;
/// `FUNCTIONFS_STRINGS_MAGIC`.
const STRINGS: u32 = 2;
/// `FUNCTIONFS_SETUP`, and `GADGETFS_SETUP`.
const FFS_SETUP: u8 = 4;
const GADGETFS_SETUP: u8 = 3;

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
    let mut log = File::create(log).expect("a log");
    make("");
    put("idVendor", "0x0a5c");
    put("idProduct", "0x2711");
    make("configs/c.1");
    make("functions/ffs.board");
    let functions = |name: &str| Path::new(GADGET).join("functions").join(name);
    let linked = |name: &str| Path::new(GADGET).join("configs/c.1").join(name);
    fs_err::os::unix::fs::symlink(functions("ffs.board"), linked("ffs.board")).expect("a link");
    rom(&mut log);
    fs_err::remove_file(linked("ffs.board")).expect("configfs takes it");
    second_stage(&mut log);
    make("functions/mass_storage.0");
    put("functions/mass_storage.0/lun.0/removable", "1");
    put("functions/mass_storage.0/lun.0/file", disk);
    let storage = functions("mass_storage.0");
    fs_err::os::unix::fs::symlink(storage, linked("mass_storage.0")).expect("a link");
    put("idProduct", "0x0104");
    put("UDC", "dummy_udc.0");
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

/// Time that a chip needs to start what it was given.
fn start() {
    std::thread::sleep(Duration::from_millis(700));
}

/// The boot ROM.
fn rom(log: &mut File) {
    let mut control = File::options();
    let control = control.read(true).write(true).open(format!("{FFS}/ep0"));
    let mut control = control.expect("FunctionFS is mounted");
    control.write_all(&descriptors()).expect("descriptors");
    control.write_all(&strings()).expect("strings");
    let mut line = Line {
        control,
        setup: FFS_SETUP,
        bulk: None,
        open_bulk: || File::open(format!("{FFS}/ep1")).expect("the bulk endpoint"),
    };
    put("UDC", "dummy_udc.0");
    let (_, head) = line.take(true);
    let (length, stage) = line.take(true);
    assert_eq!(
        head[..4],
        length.to_le_bytes(),
        "the head says how long it is"
    );
    say(
        log,
        &format!("second-stage {} {}", stage.len(), Sha256Digest::of(&stage)),
    );
    line.give(4, &0_i32.to_le_bytes());
    std::thread::sleep(Duration::from_millis(300));
    drop(line.bulk);
    put("UDC", "\n");
    start();
}

/// The second stage, which asks for files.
fn second_stage(log: &mut File) {
    fs_err::create_dir_all(GADGETFS).expect("a folder");
    mount("gadgetfs", GADGETFS);
    let mut control = File::options();
    let control = control
        .read(true)
        .write(true)
        .open(format!("{GADGETFS}/dummy_udc"));
    let mut control = control.expect("the gadget's file");
    control.write_all(&device()).expect("descriptors");
    let mut line = Line {
        control,
        setup: GADGETFS_SETUP,
        bulk: None,
        open_bulk: || {
            let mut bulk = File::options();
            let bulk = bulk
                .read(true)
                .write(true)
                .open(format!("{GADGETFS}/ep1out-bulk"));
            let mut bulk = bulk.expect("the bulk endpoint");
            let mut all = 1_u32.to_le_bytes().to_vec();
            all.extend(endpoint(1, 64));
            all.extend(endpoint(1, 512));
            bulk.write_all(&all).expect("descriptors");
            bulk
        },
    };
    line.ask(0, "*SERIAL_NUM*10000000abcdef01");
    assert_eq!(line.take(false).0, 0);
    line.ask(0, "config.txt");
    let (length, _) = line.take(false);
    say(log, &format!("config.txt-size {length}"));
    for name in ["config.txt", "missing.bin", "boot.img"] {
        line.ask(1, name);
        let (_, bytes) = line.take(true);
        say(
            log,
            &format!("{name} {} {}", bytes.len(), Sha256Digest::of(&bytes)),
        );
    }
    line.ask(2, "");
    std::thread::sleep(Duration::from_millis(300));
    drop(line);
    start();
}

fn say(log: &mut File, text: &str) {
    writeln!(log, "{text}").expect("the log takes it");
}

#[expect(clippy::disallowed_methods, reason = "tests start programs")]
fn mount(kind: &str, place: &str) {
    let status = std::process::Command::new("mount")
        .args(["-t", kind, kind, place])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{kind} is not mounted"
    );
}

/// The far end of the line to the host.
struct Line<F> {
    control: File,
    /// The number of the event that is a request.
    setup: u8,
    bulk: Option<File>,
    open_bulk: F,
}

impl<F: Fn() -> File> Line<F> {
    /// Waits for the next request that is meant for the board: its first byte and its number of 32 bits. Those of
    /// USB itself are answered.
    fn request(&mut self) -> (u8, u32) {
        loop {
            let mut event = [0; 12];
            self.control.read_exact(&mut event).expect("an event");
            let (kind, request) = (event[0], event[1]);
            if event[8] != self.setup {
                continue;
            }
            if kind & 0x60 == 0x40 {
                return (
                    kind,
                    u32::from_le_bytes([event[2], event[3], event[4], event[5]]),
                );
            }
            // SET_CONFIGURATION; its endpoints must be there before it is acknowledged.
            if request == 9 {
                self.bulk = Some((self.open_bulk)());
            }
            // Of no length this acknowledges what comes in, and refuses what should go out: names.
            let _refused = self.control.read(&mut []);
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
            let bulk = self.bulk.get_or_insert_with(&self.open_bulk);
            bulk.read_exact(&mut bytes).expect("bytes");
        }
        (length, bytes)
    }

    /// Answers what the host asks.
    fn give(&mut self, expected: u32, bytes: &[u8]) {
        let (kind, length) = self.request();
        assert_eq!((kind, length), (0xc0, expected), "the host was to ask");
        self.control.write_all(bytes).expect("the host is there");
    }

    fn ask(&mut self, command: i32, name: &str) {
        let mut request = command.to_le_bytes().to_vec();
        request.extend(name.as_bytes());
        // A board sends all of the 260 bytes; the kernel's gadget may send 256 at most.
        request.resize(100, 0);
        self.give(260, &request);
    }
}

/// A bulk endpoint.
fn endpoint(address: u8, packet: u16) -> [u8; 7] {
    let [low, high] = packet.to_le_bytes();
    [7, 5, address, 2, low, high, 0]
}

/// The second stage as a whole device (`GadgetFS`): its two configurations, and itself.
fn device() -> Vec<u8> {
    let configuration = |packet: u16| {
        let interface = [9, 4, 0, 0, 1, 0xff, 0, 0, 0];
        let mut all = vec![9, 2, 25, 0, 1, 1, 0, 0x80, 50];
        all.extend(interface);
        all.extend(endpoint(1, packet));
        all
    };
    let mut all = 0_u32.to_le_bytes().to_vec();
    all.extend(configuration(64));
    all.extend(configuration(512));
    // Broadcom, BCM2711, and a serial number of the first index.
    all.extend([
        18, 1, 0, 2, 0xff, 0, 0, 64, 0x5c, 0x0a, 0x11, 0x27, 0, 1, 0, 0, 1, 1,
    ]);
    all
}

/// One interface with a bulk endpoint to the device and one from it, as the ROM's.
fn descriptors() -> Vec<u8> {
    let speed = |packet: u16| {
        let mut all = vec![9, 4, 0, 0, 2, 0xff, 0, 0, 0];
        all.extend(endpoint(1, packet));
        all.extend(endpoint(0x82, packet));
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
