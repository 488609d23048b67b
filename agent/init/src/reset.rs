//! A device that is to be as if it were new: all that lies on the data partition goes, whichever version it is of. Whoever asked for it
//! left a mark in the settings. Another one stands on the partition until all is done: whenever the power fails, the next start goes on.

use std::path::Path;

use crate::{Failure, Settings, kept, say};

/// Where the agent's helper leaves its mark (`agent/helper/src/reset.rs`), in a copy of the settings.
const ASKED: &str = "var/changes/lib/bakelite-agent/factory-reset";
/// What stands until all is done.
const BEGUN: &str = "factory-reset";
/// The file system's own.
const OWN: &str = "lost+found";

/// Does what a mark on the partition, which is mounted at `data`, asks for.
pub(crate) fn finish(data: &Path, settings: Settings) -> Result<(), Failure> {
    let begun = data.join(BEGUN);
    if !begun.exists() {
        let copies = [settings.used, settings.good].map(|number| number.to_string());
        let marks = copies.map(|copy| data.join("settings").join(copy).join(ASKED));
        if !marks.iter().any(|mark| mark.exists()) {
            return Ok(());
        }
        fs_err::File::create(&begun)?.sync_all()?;
        fs_err::File::open(data)?.sync_all()?;
    }
    say("the device is made as if it were new");
    for entry in fs_err::read_dir(data)? {
        let entry = entry?;
        if entry.file_name() != BEGUN && entry.file_name() != OWN {
            kept::remove(&entry.path())?;
        }
    }
    nix::unistd::syncfs(fs_err::File::open(data)?.file())?;
    fs_err::remove_file(&begun)?;
    Ok(fs_err::File::open(data)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_goes_that_any_version_left_and_an_interrupted_reset_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let settings = Settings { used: 4, good: 3 };
        let fill = || {
            for path in [
                "settings/2/var/changes/lib/bakelite-agent/users.json",
                "settings/3/etc/changes/hostname",
                "shared/var/log/journal/1",
                "lost+found/1",
                "own",
            ] {
                let path = data.join(path);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, "x").unwrap();
            }
        };
        let left = || {
            let names = fs_err::read_dir(data).unwrap();
            names.map(|entry| entry.unwrap().file_name()).collect()
        };
        fill();
        finish(data, settings).unwrap();
        let all: Vec<_> = left();
        assert_eq!(all.len(), 4, "nobody asked: {all:?}");
        // A mark of a version that was left means nothing.
        let mark = |number: u32| data.join(format!("settings/{number}/{ASKED}"));
        fs_err::write(mark(2), "").unwrap();
        finish(data, settings).unwrap();
        assert_eq!(left().len(), 4);
        for asks in [mark(3), mark(4), data.join(BEGUN)] {
            fill();
            fs_err::create_dir_all(asks.parent().unwrap()).unwrap();
            fs_err::write(&asks, "").unwrap();
            finish(data, settings).unwrap();
            assert_eq!(left(), ["lost+found"], "{asks:?}");
        }
    }
}
