//! Installs a version out of a channel's folder into the other slot of a disk, as a device does, and says what that took: bytes, time,
//! memory. `scripts/bench-updates` runs it; `docs/benchmarks.md` has the results.
//!
//! Arguments: the channel, the root to trust, the version that runs, the version to install, the disk; which version the other slot
//! holds, or `none`; `patches` or `whole`; and how many bytes a second the disk reads and writes, if it is to be as slow as a card.

#![expect(clippy::print_stdout, reason = "its results are for a script")]

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_region::Slot;
use agent_region::disk::Disk;
use agent_update::install::{Flow, Holds, Source, install};
use ota_bundle::delta::{DELTA_HEAD, Delta, DeltaHead, Patch};
use ota_bundle::{Bundle, HEAD_LENGTH, Head, Verified};
use update_trust::{Metadata, Said, Seen, Trusted, verify};

type Failure = Box<dyn Error>;

/// A disk that counts how long a card would be busy, which does one thing after the other. Of what was read last, the kernel of a
/// small device remembers a little.
struct Card {
    disk: File,
    /// Bytes a second.
    reads: f64,
    writes: f64,
    /// Seconds.
    busy: f64,
    /// What it took here does not count.
    here: Duration,
    remembered: BTreeSet<u64>,
    order: VecDeque<u64>,
}

const PAGE: u64 = 4096;
const PAGE_BYTES: f64 = 4096.0;
/// Pages that are remembered: 16 MiB.
const REMEMBERED: usize = 4096;

impl Card {
    fn pages(offset: u64, length: u64) -> std::ops::Range<u64> {
        offset / PAGE..(offset + length).div_ceil(PAGE)
    }

    /// Does something with the file behind it.
    fn timed<T>(&mut self, what: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let begun = Instant::now();
        let result = what(&mut self.disk);
        self.here += begun.elapsed();
        result
    }
}

impl Disk for Card {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        for page in Self::pages(offset, bytes.len() as u64) {
            if self.remembered.insert(page) {
                self.busy += PAGE_BYTES / self.reads;
                self.order.push_back(page);
            }
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.remembered.remove(&oldest);
            }
        }
        self.timed(|disk| disk.read_exact_at(bytes, offset))
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.busy += f64::from(length) / self.writes;
        self.timed(|disk| disk.write_all_at(bytes, offset))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.timed(|disk| disk.sync_data())
    }
    fn length(&mut self) -> io::Result<u64> {
        Ok(self.disk.metadata()?.len())
    }
    fn forget(&mut self, offset: u64, length: u64) {
        let pages = Self::pages(offset, length);
        self.order.retain(|page| !pages.contains(page));
        for page in pages {
            self.remembered.remove(&page);
        }
    }
}

/// A bundle and its patches, as files of the channel.
struct Files {
    bundle: File,
    delta: Option<(Delta, File)>,
}

impl Source for Files {
    fn read(&mut self, offset: u64, length: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(length as usize, 0);
        self.bundle.read_exact_at(bytes, offset)
    }

    fn patch(&self, segment: u32) -> Option<&Patch> {
        self.delta.as_ref()?.0.patch(segment)
    }

    fn read_patch(&mut self, patch: &Patch, bytes: &mut Vec<u8>) -> io::Result<()> {
        let (_, file) = self.delta.as_ref().ok_or(io::ErrorKind::NotFound)?;
        bytes.resize(patch.stored as usize, 0);
        file.read_exact_at(bytes, patch.offset)
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ([channel, root, from, to, disk, other, how], rates) = words.split_first_chunk().ok_or(
        "usage: install CHANNEL ROOT FROM TO DISK OTHER|none patches|whole [READS WRITES]",
    )?;
    let rates: Vec<f64> = rates
        .iter()
        .map(|rate| rate.parse())
        .collect::<Result<_, _>>()?;
    let channel = Path::new(channel);
    let (trusted, mut looked) = look(channel, &fs_err::read(root)?)?;
    let (_, before) = find(&trusted, from)?;
    let (id, said) = find(&trusted, to)?;
    let (bundle, file, length) = open(&channel.join(&said.bundle), id)?;
    looked += length;
    let runs = before
        .root
        .ok_or("the version that runs has no root hash")?;
    let mut source = Files {
        bundle: file,
        delta: None,
    };
    if let Some(delta) = said.delta_from(runs).filter(|_| how == "patches") {
        let mut file = File::open(channel.join(&delta.path))?;
        let mut bytes = vec![0; DELTA_HEAD];
        file.read_exact(&mut bytes)?;
        let head = DeltaHead::from_bytes(bytes.first_chunk().ok_or("no head")?)?;
        bytes.resize(usize::try_from(head.metadata())?, 0);
        file.read_exact_at(&mut bytes, 0)?;
        looked += bytes.len() as u64;
        source.delta = Some((Delta::read(&bytes, delta.table)?, file));
    }
    let mut disk = Card {
        disk: File::options().read(true).write(true).open(disk)?,
        reads: rates.first().copied().unwrap_or(f64::INFINITY),
        writes: rates.get(1).copied().unwrap_or(f64::INFINITY),
        busy: 0.0,
        here: Duration::ZERO,
        remembered: BTreeSet::new(),
        order: VecDeque::new(),
    };
    // A device knows the other slot too, once it has kept a version in it.
    let other = match other.as_str() {
        "none" => None,
        version => find(&trusted, version)?.1.root,
    };
    let begun = Instant::now();
    let holds = Holds {
        running: Some(runs),
        other,
    };
    let slots = (Slot::A, holds);
    let done = install(&mut disk, &bundle, slots, &mut source, &mut |_| Flow::On)?;
    let seconds = begun.elapsed().saturating_sub(disk.here).as_secs_f64() + disk.busy;
    println!(
        "{{\"looked\": {looked}, \"fetched\": {}, \"written\": {}, \"total\": {}, \"seconds\": {seconds:.2}, \"peak-kib\": {}}}",
        done.fetched,
        done.written,
        done.total,
        peak()?
    );
    Ok(())
}

/// Returns what the channel says, and how many bytes a device reads for that.
fn look(channel: &Path, root: &[u8]) -> Result<(Trusted, u64), Failure> {
    let mut metadata = Metadata::default();
    for entry in fs_err::read_dir(channel.join("metadata"))? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        metadata.insert(name, fs_err::read_to_string(&path)?);
    }
    let trusted = verify(root, &metadata, &Seen::default(), 0)?;
    let version = trusted.versions.1;
    let names = [
        "timestamp.json".to_owned(),
        format!("{version}.snapshot.json"),
        format!("{version}.targets.json"),
    ];
    let sizes = names.iter().filter_map(|name| metadata.get(name));
    let looked = sizes.map(|text| text.len() as u64).sum();
    Ok((trusted, looked))
}

fn find(trusted: &Trusted, version: &str) -> Result<(content_digest::Sha256Digest, Said), Failure> {
    let found = trusted.releases().find(|(_, said)| said.version == version);
    Ok(found.ok_or_else(|| format!("there is no version {version}"))?)
}

fn open(
    path: &Path,
    id: content_digest::Sha256Digest,
) -> Result<(Bundle<Verified>, File, u64), Failure> {
    let mut file = File::open(path)?;
    let mut head = [0; HEAD_LENGTH];
    file.read_exact(&mut head)?;
    let length = Head::from_bytes(&head)?.metadata();
    let mut bytes = vec![0; usize::try_from(length)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok((Bundle::read(&bytes)?.verify(id)?, file, length))
}

/// Returns the most memory that this process had, in KiB.
fn peak() -> Result<u64, Failure> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("the kernel does not say")?.parse()?)
}
