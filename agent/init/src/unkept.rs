//! A data partition that nothing can be written to, or that cannot be mounted: the device starts with what can be read of its
//! settings, in memory, and says that nothing is kept. Nobody gets closer to a device that only restarts.

use std::path::Path;

use nix::mount::{MsFlags, mount, umount};

use crate::{Failure, Settings, chain, kept, say};

/// Says why nothing is kept, as long as that is so. The agent's page shows it (`agent/device`).
const UNKEPT: &str = "/run/bakelite-unkept";
/// Where the partition is read, for a moment.
const OLD: &str = "/old";
/// How much of the memory it may fill (Linux: Documentation/filesystems/tmpfs.rst).
const ROOM: &str = "mode=0755,size=25%";

/// Mounts a folder in memory at `data`, with the settings that the partition holds if it can be read.
pub(crate) fn show(
    partition: &Path,
    data: &Path,
    settings: Settings,
    why: &Failure,
) -> Result<(), Failure> {
    let why = chain(why.as_ref());
    say(&format!("nothing is kept: {why}"));
    let flags = MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("unkept"), data, Some("tmpfs"), flags, Some(ROOM))?;
    fs_err::write(UNKEPT, &why)?;
    if let Err(error) = copy_settings(partition, data, settings) {
        say(&format!(
            "the settings cannot be read, and are as on the first day: {}",
            chain(error.as_ref())
        ));
    }
    Ok(())
}

fn copy_settings(partition: &Path, data: &Path, settings: Settings) -> Result<(), Failure> {
    fs_err::create_dir_all(OLD)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    // Nor is the journal replayed (Linux: Documentation/admin-guide/ext4.rst).
    mount(Some(partition), OLD, Some("ext4"), flags, Some("noload"))?;
    let number = settings.used.to_string();
    let own = data.join("settings").join(&number);
    let copied = fs_err::create_dir_all(data.join("settings"))
        .and_then(|()| kept::copy_whole(&Path::new(OLD).join("settings").join(&number), &own));
    umount(OLD)?;
    Ok(copied?)
}
