//! Lays overlays over a finished tree: users, files, units; and what every image must not hold.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::dpkg::{ScriptError, Scripts};
use crate::recipe::User;

/// Keeps services from starting while packages are installed.
pub const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Made anew by every device, or worth nothing outside the build.
const UNWANTED: &[&str] = &[
    POLICY,
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/apt/pkgcache.bin",
    "/var/cache/apt/srcpkgcache.bin",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/diversions-old",
    "/var/lib/dpkg/statoverride-old",
    "/var/cache/debconf/config.dat-old",
    "/var/cache/debconf/templates.dat-old",
];

/// Left by packages' scripts after the build machine's settings; overlays may bring their own later.
pub const OF_THE_BUILD_MACHINE: &[&str] = &["/etc/hostname", "/etc/resolv.conf"];

/// What one overlay puts into the tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the overlay.
    pub name: String,
    /// Files, with the path that they are read from inside the confined tree.
    pub files: Vec<LayerFile>,
    /// Users to make.
    pub users: Vec<User>,
    /// Units to enable.
    pub enable: Vec<String>,
    /// Units to disable.
    pub disable: Vec<String>,
    /// Units to mask.
    pub mask: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerFile {
    /// Path in the image.
    pub path: PathBuf,
    /// Contents.
    pub contents: Contents,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
}

/// Where a file's contents come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Contents {
    /// Another file.
    CopyOf(PathBuf),
    /// This text.
    Text(String),
    /// A symbolic link to this target.
    Link(PathBuf),
}

/// An overlay could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A file could not be written.
    #[error("overlay {overlay}: cannot write {path}")]
    Write {
        /// The overlay.
        overlay: String,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file's owner does not exist.
    #[error("overlay {overlay}: {path} belongs to {name}, which is no user or group of the image")]
    NoOwner {
        /// The overlay.
        overlay: String,
        /// The file.
        path: String,
        /// The owner or group.
        name: String,
    },
    /// `useradd` or `systemctl` failed.
    #[error("overlay {overlay} cannot be applied")]
    Program {
        /// The overlay.
        overlay: String,
        /// Why.
        #[source]
        source: ScriptError,
    },
}

impl Layer {
    /// Applies the overlay to the tree that this process is confined to.
    pub fn apply(&self, scripts: &Scripts) -> Result<(), OverlayError> {
        let run = |program: &str, arguments: &[&str]| {
            scripts
                .run(Path::new(program), arguments, &[], &self.name, program)
                .map_err(|source| OverlayError::Program {
                    overlay: self.name.clone(),
                    source,
                })
        };
        for user in &self.users {
            let uid = user.uid.map(|uid| uid.to_string());
            let groups = user.groups.join(",");
            let mut arguments = vec![
                "--create-home",
                "--shell",
                &user.shell,
                "--password",
                &user.password_hash,
            ];
            if let Some(uid) = &uid {
                arguments.extend(["--uid", uid]);
            }
            if !groups.is_empty() {
                arguments.extend(["--groups", &groups]);
            }
            arguments.push(&user.name);
            run("/usr/sbin/useradd", &arguments)?;
            if !user.ssh_keys.is_empty() {
                self.write_keys(user)?;
            }
        }
        for file in &self.files {
            self.write(file)?;
        }
        for (verb, units) in [
            ("enable", &self.enable),
            ("disable", &self.disable),
            ("mask", &self.mask),
        ] {
            if !units.is_empty() {
                let units: Vec<&str> = std::iter::once(verb)
                    .chain(units.iter().map(String::as_str))
                    .collect();
                run("/usr/bin/systemctl", &units)?;
            }
        }
        Ok(())
    }

    fn write_keys(&self, user: &User) -> Result<(), OverlayError> {
        let folder = Path::new("/home").join(&user.name).join(".ssh");
        let owned = |path: PathBuf, contents, mode| LayerFile {
            path,
            contents,
            owner: user.name.clone(),
            group: user.name.clone(),
            mode,
        };
        let keys = owned(
            folder.join("authorized_keys"),
            Contents::Text(user.ssh_keys.join("\n") + "\n"),
            0o600,
        );
        self.write(&keys)?;
        let folder = owned(folder, Contents::Text(String::new()), 0o700);
        let (uid, gid) = self.owner(&folder)?;
        let set = || {
            nix::unistd::chown(&folder.path, Some(uid), Some(gid))?;
            fs_err::set_permissions(
                &folder.path,
                std::os::unix::fs::PermissionsExt::from_mode(folder.mode),
            )
        };
        set().map_err(|source| self.fail(&folder.path, source))
    }

    fn owner(&self, file: &LayerFile) -> Result<(Uid, Gid), OverlayError> {
        let find = |database: &str, name: &str| {
            let text = fs_err::read_to_string(database).unwrap_or_default();
            let line = text
                .lines()
                .find(|line| line.split(':').next() == Some(name));
            line.and_then(|line| line.split(':').nth(2)?.parse::<u32>().ok())
                .ok_or_else(|| OverlayError::NoOwner {
                    overlay: self.name.clone(),
                    path: file.path.display().to_string(),
                    name: name.to_owned(),
                })
        };
        Ok((
            find("/etc/passwd", &file.owner)?.into(),
            find("/etc/group", &file.group)?.into(),
        ))
    }

    fn fail(&self, path: &Path, source: io::Error) -> OverlayError {
        OverlayError::Write {
            overlay: self.name.clone(),
            path: path.display().to_string(),
            source,
        }
    }

    fn write(&self, file: &LayerFile) -> Result<(), OverlayError> {
        let (uid, gid) = self.owner(file)?;
        let put = || {
            if let Some(parent) = file.path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            match &file.contents {
                Contents::Link(target) => {
                    drop(fs_err::remove_file(&file.path));
                    return fs_err::os::unix::fs::symlink(target, &file.path);
                }
                Contents::CopyOf(from) => {
                    // A new file in any case: what was there may be shown from elsewhere or linked twice.
                    drop(fs_err::remove_file(&file.path));
                    fs_err::copy(from, &file.path)?;
                }
                Contents::Text(text) => {
                    drop(fs_err::remove_file(&file.path));
                    fs_err::write(&file.path, text)?;
                }
            }
            nix::unistd::chown(&file.path, Some(uid), Some(gid))?;
            fs_err::set_permissions(
                &file.path,
                std::os::unix::fs::PermissionsExt::from_mode(file.mode),
            )
        };
        put().map_err(|source| self.fail(&file.path, source))
    }
}

/// Removes what no image may hold: identities, caches, traces of the build.
pub fn clean() -> io::Result<()> {
    let mut unwanted: Vec<PathBuf> = UNWANTED.iter().map(PathBuf::from).collect();
    for (folder, matches) in [
        (
            "/etc/ssh",
            (|name| name.starts_with("ssh_host_") && name.contains("_key")) as fn(&str) -> bool,
        ),
        ("/var/log", |name| name.ends_with(".log")),
        ("/var/log/apt", |_| true),
        ("/var/lib/apt/lists", |_| true),
        ("/var/cache/apt/archives", |name| name.ends_with(".deb")),
    ] {
        for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(matches) && entry.path().is_file() {
                unwanted.push(entry.path());
            }
        }
    }
    for path in unwanted {
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Empty, not absent: systemd then makes an id at first boot without presetting every unit.
    fs_err::write("/etc/machine-id", "")?;
    fs_err::set_permissions(
        "/etc/machine-id",
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
}

/// Sets every time later than `newest` to `newest`, so that the time of the build shows nowhere.
pub fn clamp_times(root: &Path, newest: i64) -> io::Result<()> {
    let time = TimeSpec::new(newest, 0);
    let mut folders = vec![root.to_owned()];
    let mut late = Vec::new();
    let device = fs_err::metadata(root)?.dev();
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_dir() && data.dev() == device {
                folders.push(entry.path());
            }
            if data.mtime() > newest {
                late.push(entry.path());
            }
        }
    }
    if fs_err::metadata(root)?.mtime() > newest {
        late.push(root.to_owned());
    }
    for path in late {
        utimensat(
            AT_FDCWD,
            &path,
            &time,
            &time,
            UtimensatFlags::NoFollowSymlink,
        )?;
    }
    Ok(())
}
