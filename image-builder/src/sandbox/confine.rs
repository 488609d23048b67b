//! The worker's side: makes the namespaces, and makes one tree the whole world.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use crate::sandbox::Network;

/// Folder in the tree for what the build needs there; removed when the tree is whole.
pub(crate) const OURS: &str = ".bakelite";
/// Registration of AArch64 ELF files (`qemu-binfmt-conf.sh` of QEMU): magic and mask of the ELF
/// header, flags O (open file), C (credentials of the file), F (open the interpreter now, so that
/// it need not exist in the tree).
const BINFMT_HEAD: &[u8] = b":qemu-aarch64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:";

/// What the tree is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// A folder, changed in place.
    Folder(PathBuf),
    /// A finished tree below, changes above.
    Layered {
        /// The tree that stays as it is.
        lower: PathBuf,
        /// Folder that holds `upper`, `work` and `merged`.
        layer: PathBuf,
    },
}

/// A host folder or file that shows inside the tree, at a path relative to the tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    /// Path on the host.
    pub from: PathBuf,
    /// Path in the tree, without a leading slash.
    pub to: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}

/// What a worker sees.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confinement {
    /// The tree.
    pub root: Root,
    /// What else shows in it.
    pub binds: Vec<Bind>,
    /// The emulator for programs of the target, if it is foreign.
    pub emulator: Option<PathBuf>,
}

/// Something about the namespaces or mounts failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct ConfineError {
    what: String,
    #[source]
    source: io::Error,
}

fn fail<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> ConfineError {
    let what = what.into();
    move |error| ConfineError {
        what,
        source: error.into(),
    }
}

/// Leaves the host's namespaces. The caller must have one thread only.
pub fn enter_namespaces(network: Network) -> Result<(), ConfineError> {
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if network == Network::None {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    nix::sched::unshare(flags).map_err(fail("make user, mount and process namespaces"))
}

/// Shows another tree at `to` inside the tree that this process will be confined to.
pub fn show(tree: &Root, confinement: &Confinement, to: &str) -> Result<(), ConfineError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(fail("make mounts private"))?;
    let (Root::Folder(root) | Root::Layered { lower: root, .. }) = &confinement.root;
    let target = root.join(to.trim_start_matches('/'));
    fs_err::create_dir_all(&target).map_err(fail("make a mount point"))?;
    match tree {
        Root::Folder(folder) => bind(folder, &target, true),
        Root::Layered { lower, layer } => bind(&mount_layers(lower, layer)?, &target, true),
    }
}

/// Confines this process to the tree. Afterwards nothing of the host can be reached by any path.
pub fn enter(confinement: &Confinement) -> Result<(), ConfineError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(fail("make mounts private"))?;
    nix::unistd::sethostname("localhost").map_err(fail("set the host name"))?;
    let root = match &confinement.root {
        Root::Folder(folder) => {
            bind(folder, folder, true)?;
            folder.clone()
        }
        Root::Layered { lower, layer } => mount_layers(lower, layer)?,
    };
    let ours = root.join(OURS);
    for folder in ["old", "binfmt"] {
        fs_err::create_dir_all(ours.join(folder)).map_err(fail("make the build's own folder"))?;
    }
    for folder in ["proc", "dev", "tmp"] {
        fs_err::create_dir_all(root.join(folder)).map_err(fail(format!("make /{folder}")))?;
    }
    mount_devices(&root)?;
    mount(
        Some("proc"),
        &root.join("proc"),
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        none,
    )
    .map_err(fail("mount /proc"))?;
    mount(
        Some("tmp"),
        &root.join("tmp"),
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=1777"),
    )
    .map_err(fail("mount /tmp"))?;
    for wanted in &confinement.binds {
        let target = root.join(&wanted.to);
        if wanted.from.is_dir() {
            fs_err::create_dir_all(&target).map_err(fail("make a mount point"))?;
        } else {
            let folder = target.parent().unwrap_or(&root);
            fs_err::create_dir_all(folder).map_err(fail("make a mount point"))?;
            if !target.exists() {
                fs_err::File::create(&target).map_err(fail("make a mount point"))?;
            }
        }
        bind(&wanted.from, &target, wanted.writable)?;
    }
    if let Some(emulator) = &confinement.emulator {
        register_emulator(emulator, &ours.join("binfmt"))?;
    }
    let old = ours.join("old");
    nix::unistd::pivot_root(&root, &old).map_err(fail("make the tree the root"))?;
    nix::unistd::chdir("/").map_err(fail("enter the tree"))?;
    let old = Path::new("/").join(OURS).join("old");
    umount2(&old, MntFlags::MNT_DETACH).map_err(fail("leave the host's file systems"))?;
    Ok(())
}

fn mount_layers(lower: &Path, layer: &Path) -> Result<PathBuf, ConfineError> {
    for folder in ["upper", "work", "merged"] {
        fs_err::create_dir_all(layer.join(folder)).map_err(fail("make the folders of a layer"))?;
    }
    let merged = layer.join("merged");
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        lower.display(),
        layer.join("upper").display(),
        layer.join("work").display()
    );
    mount(
        Some("overlay"),
        &merged,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(fail(format!("lay a layer over {}", lower.display())))?;
    Ok(merged)
}

fn bind(from: &Path, to: &Path, writable: bool) -> Result<(), ConfineError> {
    let none = None::<&str>;
    let what = || format!("show {} at {}", from.display(), to.display());
    mount(
        Some(from),
        to,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )
    .map_err(fail(what()))?;
    if !writable {
        // Flags that the host set on the mount are locked in a user namespace: keep them.
        let kept = nix::sys::statvfs::statvfs(to)
            .map_or(nix::sys::statvfs::FsFlags::empty(), |s| s.flags());
        let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        for (set, flag) in [
            (nix::sys::statvfs::FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (nix::sys::statvfs::FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (nix::sys::statvfs::FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (nix::sys::statvfs::FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (
                nix::sys::statvfs::FsFlags::ST_RELATIME,
                MsFlags::MS_RELATIME,
            ),
        ] {
            if kept.contains(set) {
                flags |= flag;
            }
        }
        mount(none, to, none, flags, none).map_err(fail(what()))?;
    }
    Ok(())
}

fn mount_devices(root: &Path) -> Result<(), ConfineError> {
    let dev = root.join("dev");
    mount(
        Some("dev"),
        &dev,
        Some("tmpfs"),
        MsFlags::MS_NOSUID,
        Some("mode=755"),
    )
    .map_err(fail("mount /dev"))?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        fs_err::File::create(dev.join(name)).map_err(fail("make a device"))?;
        bind(&Path::new("/dev").join(name), &dev.join(name), true)?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        fs_err::os::unix::fs::symlink(target, dev.join(link)).map_err(fail("make a device"))?;
    }
    fs_err::create_dir(dev.join("shm")).map_err(fail("make a device"))
}

fn register_emulator(emulator: &Path, folder: &Path) -> Result<(), ConfineError> {
    let none = None::<&str>;
    let mounted = mount(
        Some("binfmt"),
        folder,
        Some("binfmt_misc"),
        MsFlags::empty(),
        none,
    );
    if let Err(error) = mounted {
        // Kernels before 6.7 have one registry for all; use the host's entry if there is one.
        if Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
            return Ok(());
        }
        return Err(fail(
            "register the emulator: this needs Linux 6.7, or qemu-user-static installed on the host",
        )(error));
    }
    let mut line = BINFMT_HEAD.to_vec();
    line.extend_from_slice(emulator.as_os_str().as_encoded_bytes());
    line.extend_from_slice(b":OCF");
    fs_err::OpenOptions::new()
        .write(true)
        .open(folder.join("register"))
        .and_then(|mut file| file.write_all(&line))
        .map_err(fail("register the emulator"))
}

/// Mounts an empty `/run`, after the packages' own `/run` was unpacked.
pub fn mount_run() -> Result<(), ConfineError> {
    mount(
        Some("run"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    )
    .map_err(fail("mount /run"))
}

/// Takes away everything that was mounted in the tree, and the build's own folder.
pub fn umount_all() -> Result<(), ConfineError> {
    let table = fs_err::read_to_string("/proc/self/mountinfo").map_err(fail("list the mounts"))?;
    let mut points: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|p| *p != "/")
        .collect();
    points.reverse();
    // /proc last: the list came from there.
    points.sort_by_key(|point| *point == "/proc");
    for point in points {
        umount2(point, MntFlags::MNT_DETACH).map_err(fail(format!("take away {point}")))?;
    }
    fs_err::remove_dir_all(Path::new("/").join(OURS)).map_err(fail("remove the build's own folder"))
}
