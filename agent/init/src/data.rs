//! The data partition: grown to the end of the card, checked, and shown where the image's own files lie.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use agent_region::disk::{Disk as _, Reader};
use boot_partition::logical;
use boot_partition::mbr::SECTOR;
use nix::mount::{MntFlags, MsFlags, mount as mount_call, umount2};

use crate::device::Device;
use crate::kept::{self, Kept};
use crate::migrations::{self, Missing, Names};
use crate::{Failure, Settings, chain, kernel, reset, say, unkept};

/// Number of the partition.
const DATA: u32 = 7;
/// Partition with `autoboot.txt`, and what a person puts on the card for the device.
const SELECTOR: u32 = 1;
/// What the image keeps, in the image.
const LIST: &str = "usr/lib/bakelite/kept";
const BLOCK: u64 = 4096;

/// Makes the last partition reach to the end of the disk. Nothing of the disk may be mounted yet.
pub(crate) fn grow(device: &mut Device) -> Result<(), Failure> {
    let sectors = device.file.length()? / SECTOR;
    let tables = logical::grown(&mut Reader::new(&mut device.file)?, sectors)?;
    if tables.is_empty() {
        return Ok(());
    }
    for (sector, bytes) in tables {
        // From the outside in: a power cut leaves a partition that is as it was, in a larger one.
        device.file.write_at(u64::from(sector) * SECTOR, &bytes)?;
        device.file.flush()?;
    }
    kernel::read_partitions_again(&device.file)?;
    Ok(())
}

/// Mounts the partition in `root`, and what is kept over the image's folders. Returns what is still to be done to the settings.
pub(crate) fn mount(device: &Device, root: &Path, settings: Settings) -> Result<Missing, Failure> {
    let list = Kept::parse(&fs_err::read_to_string(root.join(LIST))?)?;
    let partition = device.partition(DATA);
    check(root, &partition);
    let data = root.join("data");
    let show = || {
        show_settings(&list, &data, root, settings).and_then(|missing| {
            let mut shared = list.shared.iter();
            shared.try_for_each(|path| show_shared(&data, root, path))?;
            Ok(missing)
        })
    };
    let mounted = mount_data(&partition, &data);
    if mounted.is_ok()
        && let Err(error) = reset::finish(&data, settings)
    {
        // What is left goes at the next start.
        say(&format!(
            "the device is not as if it were new yet: {}",
            chain(error.as_ref())
        ));
    }
    let missing = match mounted.and_then(|()| show()) {
        // The version before finds the same; it is not for this one to go on so.
        Err(error) if !device.is_trial => {
            take_away(&list, root);
            unkept::show(&partition, &data, settings, &error)?;
            show()?
        }
        shown => shown?,
    };
    let firmware = root.join("boot/firmware");
    let flags = MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let selector = device.partition(SELECTOR);
    if let Err(error) = mount_call(
        Some(&selector),
        &firmware,
        Some("vfat"),
        flags,
        Some("umask=0077"),
    ) {
        // Settings and the claim code lie there; the device runs without.
        say(&format!("cannot mount {}: {error}", selector.display()));
    }
    Ok(missing)
}

/// Mounts the partition, and sees that it takes something.
fn mount_data(partition: &Path, data: &Path) -> Result<(), Failure> {
    let flags = MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_call(Some(partition), data, Some("ext4"), flags, None::<&str>).map_err(|error| {
        format!(
            "cannot mount the data partition {}: {error}",
            partition.display()
        )
    })?;
    let probe = data.join("started");
    let written = fs_err::write(&probe, "").and_then(|()| fs_err::File::open(&probe)?.sync_all());
    match written {
        // A full one can be emptied.
        Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(error.into()),
        _ => {}
    }
    let blocks = fs_err::File::open(partition)?.into_file().length()? / BLOCK;
    if let Err(error) = kernel::grow_ext4(data, blocks) {
        say(&format!("the data partition keeps its size: {error}"));
    }
    Ok(())
}

/// Takes away what was shown of the partition, and the partition.
fn take_away(list: &Kept, root: &Path) {
    let shared = list.shared.iter().map(|path| path.trim_matches('/'));
    for place in shared.chain(list.tops()).chain(["data"]) {
        // It may not have come that far.
        let _outcome = umount2(&root.join(place), MntFlags::MNT_DETACH);
    }
}

/// Has the image's own e2fsck mend what a power cut left.
#[expect(
    clippy::disallowed_methods,
    reason = "the file system's own checker, from the verified root"
)]
fn check(root: &Path, partition: &Path) {
    // The new root is not the root yet: its loader is told where the libraries are.
    let run = |how: &str| {
        std::process::Command::new(root.join("usr/lib/ld-linux-aarch64.so.1"))
            .arg("--library-path")
            .arg(root.join("usr/lib/aarch64-linux-gnu"))
            .arg(root.join("usr/sbin/e2fsck"))
            .arg(how)
            .arg(partition)
            .stdout(std::process::Stdio::null())
            .status()
    };
    // 4 and above: errors are left (e2fsck(8)). Then mending all is better than a device without settings.
    let is_bad = |status: std::io::Result<std::process::ExitStatus>| match status {
        Ok(status) => status.code().is_none_or(|code| code >= 4),
        Err(error) => {
            say(&format!("cannot check the data partition: {error}"));
            false
        }
    };
    if is_bad(run("-p")) {
        say("the data partition has errors: mending all of them");
        if is_bad(run("-y")) {
            say("the data partition still has errors");
        }
    }
}

/// Shows the settings over the image's folders. A trial gets a copy of its own.
fn show_settings(
    list: &Kept,
    data: &Path,
    root: &Path,
    settings: Settings,
) -> Result<Missing, Failure> {
    let image = migrations::of_image(root)?;
    let all = data.join("settings");
    fs_err::create_dir_all(&all)?;
    let used = all.join(settings.used.to_string());
    if settings.used != settings.good {
        copy_for_trial(&all, settings, &image)?;
    }
    if !used.is_dir() {
        // As the image has them: nothing is to be migrated.
        let partial = all.join("new.partial");
        kept::remove(&partial)?;
        fs_err::create_dir(&partial)?;
        migrations::note(&partial, &image)?;
        fs_err::rename(&partial, &used)?;
    }
    fs_err::set_permissions(&used, std::fs::Permissions::from_mode(0o700))?;
    for top in list.tops() {
        let place = used.join(top);
        let (changes, work) = (place.join("changes"), place.join("work"));
        let lower = root.join(top);
        if !changes.is_dir() {
            fs_err::create_dir_all(&changes)?;
            fs_err::set_permissions(&changes, fs_err::metadata(&lower)?.permissions())?;
        }
        fs_err::create_dir_all(&work)?;
        list.prune(&changes, &format!("/{top}"))?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            changes.display(),
            work.display()
        );
        mount_call(
            Some("kept"),
            &lower,
            Some("overlay"),
            MsFlags::MS_NOATIME,
            Some(options.as_str()),
        )
        .map_err(|error| format!("cannot show what is kept of /{top}: {error}"))?;
    }
    forget_old(&all, settings)?;
    let within = PathBuf::from(format!("data/settings/{}", settings.used));
    Ok(Missing::of(&used, within, &image)?)
}

/// Gives a trial the newest settings that it can read: those of now, or those from before a newer version migrated them.
fn copy_for_trial(all: &Path, settings: Settings, image: &Names) -> Result<(), Failure> {
    let [good, before] =
        [settings.good, settings.good.wrapping_sub(1)].map(|number| all.join(number.to_string()));
    if let Some(from) = migrations::usable(&[&good, &before], image)? {
        if from == before {
            say("the settings are those from before a newer version migrated them");
        }
        Ok(kept::copy_whole(
            from,
            &all.join(settings.used.to_string()),
        )?)
    } else if good.is_dir() {
        Err("a newer version has migrated the settings, and no copy from before is left".into())
    } else {
        Ok(())
    }
}

/// Removes copies that nobody uses any more. The one before the good slot's stays: going back to its version needs it.
fn forget_old(all: &Path, settings: Settings) -> Result<(), Failure> {
    let stays = [settings.used, settings.good, settings.good.wrapping_sub(1)];
    for entry in fs_err::read_dir(all)? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        if number.is_none_or(|number| !stays.contains(&number)) {
            kept::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Shows a folder that both slots share, filled from the image the first time.
fn show_shared(data: &Path, root: &Path, path: &str) -> Result<(), Failure> {
    let inside = path.trim_matches('/');
    let (place, target) = (data.join("shared").join(inside), root.join(inside));
    fs_err::create_dir_all(&target)?;
    if !place.is_dir() {
        fs_err::create_dir_all(place.parent().unwrap_or(data))?;
        kept::copy_whole(&target, &place)?;
    }
    mount_call(
        Some(&place),
        &target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(|error| format!("cannot show what is kept of {path}: {error}"))?;
    Ok(())
}
