//! Images in the virtual drive.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::gadget::{self, GadgetError, LUN, Places};
use crate::protocol::{Drive, ImageName, Medium, Writable};

/// The kernel cuts a CD to 256 · 60 · 75 − 1 sectors of 2048 bytes without an error (`storage_common.c`,
/// `fsg_lun_open`): what is larger would be damaged.
pub const LARGEST_CD: u64 = (256 * 60 * 75 - 1) * 2048;
/// `O_NOFOLLOW` of Linux on this architecture: the name must be the file itself.
#[cfg(target_arch = "aarch64")]
const NO_FOLLOW: i32 = 0o100_000;
/// `O_NOFOLLOW` of Linux on this architecture: the name must be the file itself.
#[cfg(not(target_arch = "aarch64"))]
const NO_FOLLOW: i32 = 0o400_000;

/// The image cannot be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The gadget has no drive.
    #[error("the USB gadget has no drive now: choose the profile “full” or “mac”")]
    NoDrive,
    /// The image cannot be opened.
    #[error("cannot open the image {name}")]
    Open {
        /// Its name.
        name: ImageName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name is no file with data.
    #[error("{name} is not an image: an ordinary file with at least one sector")]
    NotAnImage {
        /// Its name.
        name: ImageName,
    },
    /// The kernel would cut the last sector.
    #[error(
        "{name} has {size} bytes, which are no whole sectors of {sector}: the machine would see a cut image"
    )]
    Broken {
        /// Its name.
        name: ImageName,
        /// Its size in bytes.
        size: u64,
        /// Bytes of a sector of this kind of drive.
        sector: u64,
    },
    /// The kernel would cut the CD.
    #[error(
        "{name} is larger than a CD can be here ({size} bytes, at most {LARGEST_CD}): insert it as a disk"
    )]
    TooLargeForCd {
        /// Its name.
        name: ImageName,
        /// Its size in bytes.
        size: u64,
    },
    /// The gadget refused.
    #[error(transparent)]
    Gadget(#[from] GadgetError),
    /// The drive says something else than what was put in.
    #[error("the drive did not take the image")]
    NotTaken,
}

/// Puts an image of the store into the drive. What was in it comes out.
pub fn insert(places: &Places, store: &Path, medium: &Medium) -> Result<(), MediaError> {
    let lun = places.gadget().join(LUN);
    if !lun.is_dir() {
        return Err(MediaError::NoDrive);
    }
    let file = open(store, medium)?;
    eject(places)?;
    let (cd, read_only) = (
        if medium.drive == Drive::Cd { "1" } else { "0" },
        if medium.drive == Drive::Cd || medium.writable == Writable::ReadOnly {
            "1"
        } else {
            "0"
        },
    );
    let was_cd = fs_err::read_to_string(lun.join("cdrom")).unwrap_or_default();
    let changes_kind = was_cd.trim() != cd;
    if changes_kind {
        // Hosts ask for the kind of a drive once, when it is plugged in.
        gadget::unplug(places)?;
    }
    // Both are refused (EBUSY) once there is a file.
    gadget::write(&lun, "cdrom", cd)?;
    gadget::write(&lun, "ro", read_only)?;
    // The kernel opens the very file that was checked, whatever the name leads to by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let inserted = gadget::write(&lun, "file", &path);
    if changes_kind {
        gadget::plug(places)?;
    }
    inserted?;
    if inserted_file(places).is_none() {
        return Err(MediaError::NotTaken);
    }
    Ok(())
}

fn open(store: &Path, medium: &Medium) -> Result<File, MediaError> {
    let name = || medium.image.clone();
    let file = File::options()
        .read(true)
        .write(medium.writable == Writable::ReadWrite)
        .custom_flags(NO_FOLLOW)
        .open(store.join(medium.image.as_str()))
        .map_err(|source| MediaError::Open {
            name: name(),
            source,
        })?;
    let facts = file.metadata().map_err(|source| MediaError::Open {
        name: name(),
        source,
    })?;
    if !facts.is_file() || facts.size() < 512 {
        return Err(MediaError::NotAnImage { name: name() });
    }
    let sector = match medium.drive {
        Drive::Cd => 2048,
        Drive::Disk => 512,
    };
    if facts.size() % sector != 0 {
        return Err(MediaError::Broken {
            name: name(),
            size: facts.size(),
            sector,
        });
    }
    if medium.drive == Drive::Cd && facts.size() > LARGEST_CD {
        return Err(MediaError::TooLargeForCd {
            name: name(),
            size: facts.size(),
        });
    }
    Ok(file)
}

/// Takes the image out, even while the host uses it.
pub fn eject(places: &Places) -> Result<(), MediaError> {
    let lun = places.gadget().join(LUN);
    if !lun.is_dir() {
        return Err(MediaError::NoDrive);
    }
    if inserted_file(places).is_none() {
        return Ok(());
    }
    if !gadget::write_if_there(&lun, "forced_eject", "1")? {
        // An older kernel says EBUSY while the host holds the medium: then the plug is pulled.
        if gadget::write(&lun, "file", "\n").is_err() {
            gadget::unplug(places)?;
            let emptied = gadget::write(&lun, "file", "\n");
            gadget::plug(places)?;
            emptied?;
        }
    }
    match inserted_file(places) {
        None => Ok(()),
        Some(_) => Err(MediaError::NotTaken),
    }
}

/// Returns the file name that is in the drive now: the host may have ejected it.
pub fn inserted_file(places: &Places) -> Option<String> {
    // Asked once a second for ever, so with as few calls as it takes: an attribute is one page at most.
    let mut file = File::open(places.gadget().join(LUN).join("file")).ok()?;
    let mut page = [0; 4096];
    let length = file.read(&mut page).ok()?;
    let text = std::str::from_utf8(&page[..length])
        .ok()?
        .trim_end_matches('\n');
    let name = text.rsplit('/').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns what is in the drive, as the kernel says.
pub fn drive(places: &Places) -> Option<(String, Drive, Writable)> {
    let image = inserted_file(places)?;
    let lun = places.gadget().join(LUN);
    let is =
        |name: &str| fs_err::read_to_string(lun.join(name)).is_ok_and(|text| text.trim() == "1");
    let drive = if is("cdrom") { Drive::Cd } else { Drive::Disk };
    let writable = if is("ro") {
        Writable::ReadOnly
    } else {
        Writable::ReadWrite
    };
    Some((image, drive, writable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium(image: &str, drive: Drive) -> Medium {
        Medium {
            image: image.parse().unwrap(),
            drive,
            writable: Writable::ReadOnly,
        }
    }

    #[test]
    fn a_link_a_folder_an_empty_file_and_a_cd_that_the_kernel_would_cut_are_refused() {
        let store = tempfile::tempdir().unwrap();
        let path = |name: &str| store.path().join(name);
        fs_err::os::unix::fs::symlink("/etc/passwd", path("link")).unwrap();
        fs_err::create_dir(path("folder")).unwrap();
        fs_err::write(path("empty"), "").unwrap();
        let large = File::create(path("large")).unwrap();
        large.set_len(LARGEST_CD + 2048).unwrap();
        let try_cd = |name: &str| open(store.path(), &medium(name, Drive::Cd));
        assert!(matches!(try_cd("link"), Err(MediaError::Open { .. })));
        for name in ["folder", "empty"] {
            assert!(
                matches!(try_cd(name), Err(MediaError::NotAnImage { .. })),
                "{name}"
            );
        }
        let error = try_cd("large").unwrap_err();
        assert!(error.to_string().contains("insert it as a disk"), "{error}");
        open(store.path(), &medium("large", Drive::Disk)).unwrap();
        large.set_len(LARGEST_CD).unwrap();
        try_cd("large").unwrap();
        large.set_len(4096 + 512).unwrap();
        assert!(matches!(try_cd("large"), Err(MediaError::Broken { .. })));
        open(store.path(), &medium("large", Drive::Disk)).unwrap();
    }

    #[test]
    fn a_gadget_without_a_drive_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            gadgets: folder.path().into(),
            controllers: folder.path().into(),
        };
        assert!(matches!(eject(&places), Err(MediaError::NoDrive)));
    }
}
