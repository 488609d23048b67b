//! Kernel calls that neither the standard library nor nix has.

#![expect(
    unsafe_code,
    reason = "requests to device-mapper, ext4 and a watchdog, each with its structure from the kernel's headers"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// Shows the kernel's own file systems.
pub(crate) fn mount_own() -> io::Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
    ] {
        fs_err::create_dir_all(target)?;
        let options = (kind == "tmpfs").then_some("mode=0755");
        match mount(Some(kind), target, Some(kind), MsFlags::MS_NOSUID, options) {
            // The kernel mounts /dev itself if it is built so.
            Ok(()) | Err(nix::Error::EBUSY) => {}
            Err(error) => return Err(io::Error::other(format!("cannot mount {target}: {error}"))),
        }
    }
    Ok(())
}

/// `struct dm_ioctl` (include/uapi/linux/dm-ioctl.h), with room for one target.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
    // `struct dm_target_spec` and its parameters.
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target: [u8; 16],
    parameters: [u8; ROOM],
}

const ROOM: usize = 1024;
/// Length of the head, and where the target begins.
const HEAD: u32 = 312;
const READ_ONLY: u32 = 1;

// The structure's length in the number is that of the head, whatever follows.
const DEV_CREATE: u64 = nix::request_code_readwrite!(0xfd, 3, HEAD as usize);
const DEV_SUSPEND: u64 = nix::request_code_readwrite!(0xfd, 6, HEAD as usize);
const TABLE_LOAD: u64 = nix::request_code_readwrite!(0xfd, 9, HEAD as usize);

nix::ioctl_readwrite_bad!(dm_create, DEV_CREATE, Request);
nix::ioctl_readwrite_bad!(dm_suspend, DEV_SUSPEND, Request);
nix::ioctl_readwrite_bad!(dm_load, TABLE_LOAD, Request);
// EXT4_IOC_RESIZE_FS (fs/ext4/ext4.h).
nix::ioctl_write_ptr!(ext4_resize, b'f', 16, u64);
// BLKRRPART (include/uapi/linux/fs.h).
nix::ioctl_none!(read_table_again, 0x12, 95);
// WDIOC_SETTIMEOUT (include/uapi/linux/watchdog.h).
nix::ioctl_readwrite!(watchdog_timeout, b'W', 6, i32);

fn put(to: &mut [u8], text: &str) {
    to[..text.len()].copy_from_slice(text.as_bytes());
}

fn request(name: &str) -> Box<Request> {
    let mut request = Box::new(Request {
        version: [4, 0, 0],
        data_size: u32::try_from(size_of::<Request>()).expect("small"),
        data_start: HEAD,
        target_count: 0,
        open_count: 0,
        flags: READ_ONLY,
        event: 0,
        padding: 0,
        dev: 0,
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
        sector_start: 0,
        length: 0,
        status: 0,
        next: 0,
        target: [0; 16],
        parameters: [0; ROOM],
    });
    put(&mut request.name, name);
    request
}

/// Makes a read-only device of device-mapper with one target, and returns its device file.
pub(crate) fn map_read_only(
    name: &str,
    target: &str,
    sectors: u64,
    parameters: &str,
) -> io::Result<PathBuf> {
    if parameters.len() >= ROOM || name.len() >= 128 || target.len() >= 16 {
        return Err(io::Error::other(
            "the parameters for device-mapper are too long",
        ));
    }
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")?;
    let fail = |what: &str, error: nix::Error| {
        io::Error::other(format!("device-mapper cannot {what}: {error}"))
    };
    let mut create = request(name);
    // SAFETY: the structure is the kernel's own, and outlives the call.
    unsafe { dm_create(control.as_raw_fd(), &raw mut *create) }
        .map_err(|error| fail("make a device", error))?;
    let mut load = request(name);
    load.target_count = 1;
    load.length = sectors;
    put(&mut load.target, target);
    put(&mut load.parameters, parameters);
    // SAFETY: as above; the target follows the head, as `data_start` says, and ends with a zero.
    unsafe { dm_load(control.as_raw_fd(), &raw mut *load) }
        .map_err(|error| fail("load the table", error))?;
    let mut resume = request(name);
    // SAFETY: as above. Without the flag for suspending, the call resumes.
    unsafe { dm_suspend(control.as_raw_fd(), &raw mut *resume) }
        .map_err(|error| fail("start the device", error))?;
    // Major and minor number as in `makedev`: the minor's upper bits stand above the major's.
    let minor = (create.dev & 0xff) | ((create.dev >> 12) & 0xf_ff00);
    Ok(Path::new("/dev").join(format!("dm-{minor}")))
}

/// Grows a mounted ext4 to so many blocks. It may have them already.
pub(crate) fn grow_ext4(mounted: &Path, blocks: u64) -> io::Result<()> {
    let folder = File::open(mounted)?;
    // SAFETY: the kernel reads one u64, which outlives the call.
    unsafe { ext4_resize(folder.as_raw_fd(), &raw const blocks) }?;
    Ok(())
}

/// Has the kernel read a partition table again. No partition may be in use.
pub(crate) fn read_partitions_again(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    unsafe { read_table_again(disk.as_raw_fd()) }?;
    Ok(())
}

/// Tells a watchdog how many seconds to wait; it may take another number that it can.
pub(crate) fn set_watchdog(watchdog: &File, mut seconds: i32) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one int, which outlives the call.
    unsafe { watchdog_timeout(watchdog.as_raw_fd(), &raw mut seconds) }?;
    Ok(())
}

/// Makes `root` the root of everything.
pub(crate) fn enter(root: &Path) -> io::Result<()> {
    let moved = || -> io::Result<()> {
        for place in ["proc", "sys", "dev", "run"] {
            let from = Path::new("/").join(place);
            mount(
                Some(&from),
                &root.join(place),
                None::<&str>,
                MsFlags::MS_MOVE,
                None::<&str>,
            )?;
        }
        // What is left of the initramfs only takes memory.
        drop(fs_err::remove_dir_all("/lib"));
        drop(fs_err::remove_file("/init"));
        nix::unistd::chdir(root)?;
        mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
        nix::unistd::chroot(".")?;
        nix::unistd::chdir("/")?;
        Ok(())
    };
    moved().map_err(|error| io::Error::other(format!("cannot make the new root the root: {error}")))
}

/// Becomes the first program of the root. Comes back only with an error.
#[expect(
    clippy::disallowed_methods,
    reason = "this process becomes the init of the device"
)]
pub(crate) fn become_init(init: &str) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    let error = std::process::Command::new(init).exec();
    io::Error::other(format!("cannot start {init}: {error}"))
}
