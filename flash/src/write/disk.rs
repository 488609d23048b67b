//! A disk that is open for writing, and nobody else's meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};

use crate::device::{Device, Devices, Number, Places, ScanError, Verdict};

/// udev looks at a disk that was just plugged in; it lets go in a moment.
const TRIES: u32 = 20;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// What is written to. The real one is [`Disk`]; tests have others that fail.
pub trait BlockDevice: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;
    /// Writes whole blocks.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads whole blocks from the medium, not from memory.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Waits until all is on the medium.
    fn flush(&self) -> io::Result<()>;
    /// Has the medium forget a range, if it can. What is read there is then anything.
    fn discard(&self, offset: u64, length: u64) -> io::Result<()>;
}

/// A disk cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It may not be written.
    #[error("{} is not written: {reason}", node.display())]
    Refused {
        /// Its node.
        node: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is another one now.
    #[error("{} is not the disk any more that was chosen", .0.display())]
    Changed(PathBuf),
    /// Somebody uses it.
    #[error("{} is used by another program: close it, and what shows its files", .0.display())]
    Busy(PathBuf),
    /// No rights, or no disk.
    #[error("cannot open {}", node.display())]
    Open {
        /// Its node.
        node: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disks cannot be listed.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// A disk, open for this program alone, past the kernel's memory.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    /// Opens the disk that was chosen, if it still is that and may be written. `may_be_unusual` if somebody
    /// meant just this one.
    pub fn open(chosen: &Device, may_be_unusual: bool, places: &Places) -> Result<Self, OpenError> {
        let node = &chosen.node;
        let file = exclusively(node)?;
        // From here on the number cannot go to another disk. Only now is looked what it is.
        let failed = |source| OpenError::Open {
            node: node.clone(),
            source,
        };
        let metadata = file.metadata().map_err(failed)?;
        let number = Number {
            major: nix::sys::stat::major(metadata.rdev()),
            minor: nix::sys::stat::minor(metadata.rdev()),
        };
        let devices = Devices::scan(places)?;
        let mut now = devices.all().iter().filter(|one| one.number == number);
        let now = now.next().filter(|now| now.is_same(chosen));
        let now = now.ok_or_else(|| OpenError::Changed(node.clone()))?;
        let refused = |reason| OpenError::Refused {
            node: node.clone(),
            reason,
        };
        match now.verdict() {
            Verdict::Offered => {}
            Verdict::Unusual(_) if may_be_unusual => {}
            Verdict::Unusual(reason) | Verdict::Refused(reason) => return Err(refused(reason)),
        }
        let size = now.size;
        Ok(Self { file, size })
    }
}

/// With `O_EXCL` a block device is opened by one program, and not while it is mounted (open(2)).
fn exclusively(node: &std::path::Path) -> Result<File, OpenError> {
    let flags = OFlag::O_EXCL | OFlag::O_DIRECT | OFlag::O_CLOEXEC;
    let mut left = TRIES;
    loop {
        let opened = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(node);
        left -= 1;
        match opened {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                if left == 0 {
                    return Err(OpenError::Busy(node.to_owned()));
                }
                std::thread::sleep(PAUSE);
            }
            Err(source) => {
                let node = node.to_owned();
                return Err(OpenError::Open { node, source });
            }
        }
    }
}

impl BlockDevice for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let length = i64::try_from(bytes.len()).unwrap_or(0);
        let at = i64::try_from(offset).unwrap_or(0);
        // Direct I/O goes past the cache; what others had read there before goes as well.
        let forget = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _outcome = posix_fadvise(&self.file, at, length, forget);
        self.file.read_exact_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        discard(&self.file, [offset, length])
    }
}

#[expect(unsafe_code, reason = "nobody has a safe call for it")]
fn discard(file: &File, range: [u64; 2]) -> io::Result<()> {
    // BLKDISCARD of linux/fs.h: a number with neither size nor direction.
    nix::ioctl_write_ptr_bad!(call, nix::request_code_none!(0x12, 119), [u64; 2]);
    // SAFETY: the range lives throughout the call, and has the two numbers that the call reads.
    unsafe { call(file.as_raw_fd(), &raw const range) }?;
    Ok(())
}
