//! A device with two slots in memory: small images that the firmware model starts, a disk that remembers every write, and the
//! life of an agent that updates itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::rc::Rc;
use std::sync::Arc;

use agent_region::disk::{Disk, Reader};
use agent_region::{Phase, Slot, State, Update, Way};
use agent_update::install::{self, Flow, Holds, Source};
use agent_update::machine::{Cause, Event};
use agent_update::{Firmware, Updater};
use boot_partition::autoboot::{self, Autoboot};
use boot_partition::fat;
use content_digest::Sha256Digest;
use image_builder::firmware::{self, Board, BootPartition};
use image_builder::partitions::layout::{Ab, MIB};
use ota_bundle::{Bundle, Draft, Kind, Verified, Verity, Writer};
use verity_tree::{BLOCK, SALT, Salted, Superblock, Tree};

/// Signature of the disk.
pub const DISK: u32 = 0x00c0_ffee;
/// Product of the device.
pub const PRODUCT: &str = "kvm";
const SALT_BYTES: [u8; SALT] = [9; SALT];
/// Three segments, and a part of one.
const DATA_BLOCKS: usize = 3 * MIB as usize / BLOCK + 100;
/// Starts of a device before something is wrong with it.
const MOST_STARTS: usize = 12;

/// The layout of the disk.
pub const fn layout() -> Ab {
    Ab::new(36 * MIB, 4 * MIB)
}

/// One version: its two images, and the bundle of both.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// The boot slot's used beginning.
    pub boot: Vec<u8>,
    /// The root slot.
    pub root: Vec<u8>,
    /// Root hash.
    pub root_hash: Sha256Digest,
    /// The bundle's bytes.
    pub bundle: Vec<u8>,
    /// The bundle, as if somebody had vouched for it.
    pub verified: Bundle<Verified>,
}

impl Version {
    /// Makes a version. Of its root file system, the blocks in `differs` hold its name.
    pub fn new(name: &str, rollback_index: u32, differs: std::ops::Range<usize>) -> Self {
        let data_blocks = DATA_BLOCKS;
        let mut root: Vec<u8> = (0..data_blocks * BLOCK)
            .map(|at| (at / 512 % 253) as u8)
            .collect();
        // What the initramfs looks at.
        root[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
        root[1036] = 12;
        let blocks = u32::try_from(data_blocks).expect("made for tests");
        root[1060..1064].copy_from_slice(&blocks.to_le_bytes());
        for block in differs {
            root[block * BLOCK..][..name.len()].copy_from_slice(name.as_bytes());
        }
        let salted = Salted::new(&SALT_BYTES);
        let digests: Vec<[u8; 32]> = root
            .chunks(BLOCK)
            .map(|block| salted.block(block))
            .collect();
        let tree = Tree::of(&SALT_BYTES, &digests);
        let superblock = Superblock {
            uuid: [1; 16],
            data_blocks: data_blocks as u64,
            salt: SALT_BYTES,
        };
        let mut block = superblock.to_bytes().to_vec();
        block.resize(BLOCK, 0);
        root.extend(block);
        root.extend(&tree.bytes);
        let boot = boot_image(name, tree.root);
        let (bundle, verified) = bundle(
            name,
            rollback_index,
            &root,
            &boot,
            data_blocks as u64,
            tree.root,
        );
        Self {
            name: name.to_owned(),
            boot,
            root,
            root_hash: tree.root,
            bundle,
            verified,
        }
    }

    fn update(&self) -> Update {
        Update {
            manifest: self.verified.id(),
            version: self.name.clone(),
            rollback_index: self.verified.manifest().rollback_index,
            created: self.verified.manifest().created,
            baseline: Vec::new(),
            replaces: None,
            arms: 0,
            steps: 0,
        }
    }
}

fn boot_image(name: &str, root: Sha256Digest) -> Vec<u8> {
    let mut kernel = format!("kernel of {name}").into_bytes();
    kernel.resize(56, 0);
    kernel.extend(b"ARM\x64");
    kernel.resize(3000, 7);
    let mut files = fat::Files::new();
    for file in [
        "start4.elf",
        "fixup4.dat",
        "initrd.img",
        "bcm2711-rpi-4-b.dtb",
    ] {
        files.insert(file.into(), file.as_bytes().repeat(300));
    }
    files.insert("vmlinuz".into(), kernel);
    files.insert(
        "config.txt".into(),
        b"arm_64bit=1\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n".to_vec(),
    );
    files.insert(
        "cmdline.txt".into(),
        format!("bakelite.disk={DISK:08x} bakelite.root={root}\n").into_bytes(),
    );
    let (_, size) = layout().boot(0);
    let mut disk = Cursor::new(vec![0; usize::try_from(size).expect("made for tests")]);
    let volume = fat::Volume {
        label: "bootslot",
        id: 2,
        timestamp: 0,
    };
    let used = fat::write(&mut disk, 0, size, volume, &files).expect("made for tests");
    let (start, length) = used[0];
    let mut bytes = disk.into_inner();
    bytes.truncate(usize::try_from(start + length).expect("made for tests"));
    bytes
}

fn bundle(
    name: &str,
    rollback_index: u32,
    root: &[u8],
    boot: &[u8],
    data_blocks: u64,
    root_hash: Sha256Digest,
) -> (Vec<u8>, Bundle<Verified>) {
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1);
    let verity = Verity {
        data_blocks,
        salt: "09".repeat(SALT),
        root: root_hash,
    };
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let length = root.len() as u64;
    writer
        .image(
            Kind::Root,
            (length, length),
            Some(verity),
            &mut &root[..],
            pack,
        )
        .expect("made for tests");
    let room = layout().boot(0).1;
    writer
        .image(
            Kind::Boot,
            (boot.len() as u64, room),
            None,
            &mut &boot[..],
            pack,
        )
        .expect("made for tests");
    let draft = Draft {
        product: PRODUCT.into(),
        version: name.into(),
        created: 1_700_000_000,
        rollback_index,
        boards: vec!["raspberrypi,4-model-b".into()],
        disk: DISK,
        notes: None,
    };
    let mut bytes = Vec::new();
    let manifest = writer
        .finish(draft, &mut bytes, |_| Ok(Vec::new()))
        .expect("made for tests");
    let verified = Bundle::read(&bytes)
        .expect("made for tests")
        .verify(Sha256Digest::of(manifest.to_json()))
        .expect("made for tests");
    (bytes, verified)
}

/// Makes a bundle that says this of itself. What is in it starts nowhere.
pub fn bundle_that_says(draft: Draft) -> Vec<u8> {
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1);
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let (root, boot) = (vec![1; 10 * BLOCK], vec![2; BLOCK]);
    let verity = Verity {
        data_blocks: 4,
        salt: "09".repeat(SALT),
        root: Sha256Digest::of("root"),
    };
    let lengths = (root.len() as u64, root.len() as u64);
    writer
        .image(Kind::Root, lengths, Some(verity), &mut &root[..], pack)
        .expect("made for tests");
    let lengths = (boot.len() as u64, boot.len() as u64);
    writer
        .image(Kind::Boot, lengths, None, &mut &boot[..], pack)
        .expect("made for tests");
    let mut bytes = Vec::new();
    writer
        .finish(draft, &mut bytes, |_| Ok(Vec::new()))
        .expect("made for tests");
    bytes
}

/// A bundle in memory, as a source of its bytes.
#[derive(Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

impl Source for Bytes<'_> {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        let start = usize::try_from(offset).expect("made for tests");
        bytes.clear();
        bytes.extend_from_slice(&self.0[start..start + length as usize]);
        Ok(())
    }
}

const PAGE: usize = 4096;
type Page = Arc<[u8; PAGE]>;

/// A sparse disk in memory, cheap to copy.
#[derive(Debug, Clone)]
pub struct Memory {
    base: Arc<BTreeMap<u64, Page>>,
    changed: BTreeMap<u64, Page>,
    length: u64,
}

impl Memory {
    /// A disk as it comes from flashing `version`: the first slot filled, the second empty.
    pub fn flashed(version: &Version) -> Self {
        let layout = layout();
        let mut disk = Self {
            base: Arc::default(),
            changed: BTreeMap::new(),
            length: layout.image_size(),
        };
        for (offset, sector) in layout.tables(DISK) {
            disk.write_at(offset, &sector).expect("made for tests");
        }
        let files = [(autoboot::FILE.to_owned(), Autoboot::new(2, 3).to_file())].into();
        let volume = fat::Volume {
            label: "bootfs",
            id: 1,
            timestamp: 0,
        };
        let (offset, size) = layout.selector();
        let mut selector = Cursor::new(vec![0; usize::try_from(size).expect("made for tests")]);
        let used = fat::write(&mut selector, 0, size, volume, &files).expect("made for tests");
        let used = usize::try_from(used[0].1).expect("made for tests");
        disk.write_at(offset, &selector.get_ref()[..used])
            .expect("made for tests");
        disk.write_at(layout.boot(0).0, &version.boot)
            .expect("made for tests");
        disk.write_at(layout.root(0).0, &version.root)
            .expect("made for tests");
        disk.settle();
        disk
    }

    /// Makes what is there cheap to copy.
    pub fn settle(&mut self) {
        let mut all = (*self.base).clone();
        all.append(&mut self.changed);
        self.base = Arc::new(all);
    }

    fn page(&self, number: u64) -> Option<&Page> {
        self.changed.get(&number).or_else(|| self.base.get(&number))
    }
}

impl Disk for Memory {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if offset + bytes.len() as u64 > self.length {
            return Err(io::Error::other("read past the end of the disk"));
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = usize::try_from(at % PAGE as u64).expect("made for tests");
            let count = (PAGE - within).min(bytes.len() - done);
            match self.page(at / PAGE as u64) {
                Some(page) => {
                    bytes[done..done + count].copy_from_slice(&page[within..within + count]);
                }
                None => bytes[done..done + count].fill(0),
            }
            done += count;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset + bytes.len() as u64 > self.length {
            return Err(io::Error::other("write past the end of the disk"));
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, within) = (
                at / PAGE as u64,
                usize::try_from(at % PAGE as u64).expect("made for tests"),
            );
            let count = (PAGE - within).min(bytes.len() - done);
            if !self.changed.contains_key(&number) {
                let page = self
                    .base
                    .get(&number)
                    .map_or_else(|| Arc::new([0; PAGE]), Arc::clone);
                self.changed.insert(number, page);
            }
            let page = self.changed.get_mut(&number).expect("just put there");
            Arc::make_mut(page)[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn length(&mut self) -> io::Result<u64> {
        Ok(self.length)
    }
}

/// One thing that was done to a disk.
#[derive(Debug, Clone)]
pub enum Op {
    /// Bytes were written at an offset.
    Write(u64, Vec<u8>),
    /// Everything before is kept from here on.
    Flush,
}

/// A disk that notes what is done to it.
#[derive(Debug, Clone)]
pub struct Recorder {
    disk: Memory,
    /// What was done.
    pub ops: Rc<RefCell<Vec<Op>>>,
}

impl Recorder {
    /// Begins with a disk.
    pub fn new(disk: Memory) -> Self {
        Self {
            disk,
            ops: Rc::default(),
        }
    }
}

impl Disk for Recorder {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.ops
            .borrow_mut()
            .push(Op::Write(offset, bytes.to_vec()));
        self.disk.write_at(offset, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.ops.borrow_mut().push(Op::Flush);
        Ok(())
    }

    fn length(&mut self) -> io::Result<u64> {
        self.disk.length()
    }
}

/// A disk that counts what is read.
#[derive(Debug)]
pub struct Reads(
    /// The disk.
    pub Memory,
    /// Bytes that were read.
    pub usize,
);

impl Disk for Reads {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.1 += bytes.len();
        self.0.read_at(offset, bytes)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
    fn length(&mut self) -> io::Result<u64> {
        self.0.length()
    }
}

/// The firmware's flag, which a power cut forgets.
#[derive(Debug, Clone, Default)]
pub struct Registers {
    asked: Rc<RefCell<bool>>,
    restarts: Rc<RefCell<bool>>,
}

impl Firmware for Registers {
    fn ask_once(&mut self) -> io::Result<()> {
        *self.asked.borrow_mut() = true;
        Ok(())
    }

    fn unask(&mut self) -> io::Result<()> {
        *self.asked.borrow_mut() = false;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        *self.restarts.borrow_mut() = true;
        Ok(())
    }
}

/// What started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The slot.
    pub slot: Slot,
    /// The root hash on its command line.
    pub root: String,
}

/// Why a slot does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dead {
    /// The firmware does not start it.
    Firmware(String),
    /// The firmware starts it, and its root is not what its kernel asks for.
    Root(String),
}

impl std::fmt::Display for Dead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Firmware(why) | Self::Root(why)) = self;
        f.write_str(why)
    }
}

/// Does what the firmware does, and then what dm-verity would do with every block.
pub fn start(disk: &mut impl Disk, is_tryboot: bool) -> Result<Started, Dead> {
    let (slot, root) = choose(disk, is_tryboot).map_err(Dead::Firmware)?;
    let place = layout().root(u64::from(slot == Slot::B)).0;
    let found = root_hash(disk, place).map_err(|error| Dead::Root(error.to_string()))?;
    if found != root {
        let why =
            format!("slot {slot} has a root with hash {found}, and its kernel asks for {root}");
        return Err(Dead::Root(why));
    }
    Ok(Started { slot, root })
}

fn choose(disk: &mut impl Disk, is_tryboot: bool) -> Result<(Slot, String), String> {
    let mut reader = Reader::new(disk).map_err(|error| error.to_string())?;
    let boot = BootPartition::read_after(&mut reader, is_tryboot)
        .map_err(|error| format!("{error}: {error:?}"))?;
    let plan = firmware::plan(&boot, Board::find("pi4").expect("made for tests"))
        .map_err(|problems| problems.join("; "))?;
    let slot = Slot::of_boot_partition(boot.number).ok_or("no slot was chosen")?;
    let word = |key: &str| {
        plan.command_line
            .split(' ')
            .find_map(|word| word.strip_prefix(key))
            .unwrap_or_default()
            .to_owned()
    };
    Ok((slot, word("bakelite.root=")))
}

fn root_hash(disk: &mut impl Disk, place: u64) -> io::Result<String> {
    let blocks = DATA_BLOCKS as u64;
    let mut data = vec![0; DATA_BLOCKS * BLOCK];
    disk.read_at(place, &mut data)?;
    let salted = Salted::new(&SALT_BYTES);
    let digests: Vec<[u8; 32]> = data
        .chunks(BLOCK)
        .map(|block| salted.block(block))
        .collect();
    let tree = Tree::of(&SALT_BYTES, &digests);
    // The stored tree is what dm-verity reads.
    let mut stored = vec![0; tree.bytes.len()];
    disk.read_at(place + (blocks + 1) * BLOCK as u64, &mut stored)?;
    Ok(if stored == tree.bytes {
        tree.root.to_string()
    } else {
        "none: the stored tree is another".into()
    })
}

/// Lets a device live from the moment that its power comes until it rests with `wanted`. Returns how often it started.
pub fn live<D: Disk + Clone>(disk: &D, wanted: &Version, way: Way) -> Result<(D, usize), String> {
    let mut disk = disk.clone();
    let registers = Registers::default();
    for starts in 1..=MOST_STARTS {
        let is_tryboot = std::mem::take(&mut *registers.asked.borrow_mut());
        *registers.restarts.borrow_mut() = false;
        let started = start(&mut disk, is_tryboot).map_err(|dead| dead.to_string())?;
        let cause = if starts == 1 {
            Cause::Power
        } else {
            Cause::Restart
        };
        if !one_start(
            &mut disk,
            &registers,
            &started,
            wanted,
            (way, cause, starts),
        )? {
            return Ok((disk, starts));
        }
    }
    Err(format!("after {MOST_STARTS} starts it does not rest"))
}

/// From the initramfs to the next restart. Returns whether there is one.
fn one_start<D: Disk>(
    disk: &mut D,
    registers: &Registers,
    started: &Started,
    wanted: &Version,
    (way, cause, starts): (Way, Cause, usize),
) -> Result<bool, String> {
    let words = |error: agent_update::UpdateError| error.to_string();
    let mut updater = Updater::open(Borrowed(disk), registers.clone()).map_err(words)?;
    let slot = started.slot;
    updater
        .tell(Event::Started {
            slot,
            boot: starts.to_string(),
            cause,
        })
        .map_err(words)?;
    let mut holds = Holds {
        running: started.root.parse().ok(),
        other: None,
    };
    for _ in 0..8 {
        if *registers.restarts.borrow() {
            return Ok(true);
        }
        if let Some(other) = &updater.state().other {
            holds.other = Some(other.root);
        }
        match updater.state().phase.clone() {
            Phase::Idle if started.root == wanted.root_hash.to_string() => return Ok(false),
            Phase::Idle => drop(updater.tell(Event::Begin(wanted.update())).map_err(words)?),
            Phase::Writing { .. } => {
                let mut source = Bytes(&wanted.bundle);
                install::install(
                    updater.disk(),
                    &wanted.verified,
                    (slot, holds),
                    &mut source,
                    &mut |_| Flow::On,
                )
                .map_err(|error| error.to_string())?;
                updater.tell(Event::Written).map_err(words)?;
            }
            Phase::Written { .. } => drop(updater.tell(Event::Arm(way)).map_err(words)?),
            Phase::Armed { .. } | Phase::Returning { .. } => return Ok(true),
            Phase::Trial { .. } => drop(updater.tell(Event::Healthy).map_err(words)?),
            Phase::Committing { .. } => drop(updater.tell(Event::Committed).map_err(words)?),
        }
    }
    Err("the agent goes in circles".into())
}

/// Returns the state on a disk.
pub fn state(disk: &mut impl Disk) -> State {
    let updater = Updater::open(Borrowed(disk), Registers::default()).expect("a readable region");
    updater.state().clone()
}

/// A disk that somebody else has.
struct Borrowed<'d, D>(&'d mut D);

impl<D: Disk> Disk for Borrowed<'_, D> {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, bytes)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
    fn length(&mut self) -> io::Result<u64> {
        self.0.length()
    }
}
