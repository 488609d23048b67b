//! Finds the disk that a device started from, by its signature and never by its name.

use std::fs::File;
use std::io;
use std::path::Path;

use agent_region::disk::Disk as _;
use boot_partition::mbr::Mbr;

/// Returns the names below `/dev` of all disks with a signature.
pub fn with_signature(signature: u32) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/sys/block")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let mut sector = [0; 512];
        let read = File::open(Path::new("/dev").join(&name))
            .and_then(|mut disk| disk.read_at(0, &mut sector));
        // Empty card readers and the like.
        if read.is_ok() && Mbr::from_sector(&sector).is_ok_and(|table| table.signature == signature)
        {
            found.push(name);
        }
    }
    Ok(found)
}
