//! The kernel's modules, in the order in which the builder resolved them.

use std::ffi::CString;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::{Failure, say};

/// One path a line.
const LIST: &str = "/modules";

pub(crate) fn load() -> Result<(), Failure> {
    for path in fs_err::read_to_string(LIST)?.lines() {
        let file = fs_err::File::open(path)?;
        match finit_module(&file, &CString::default(), ModuleInitFlags::empty()) {
            // There already, or for hardware that is not there: not every board has everything.
            Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => {}
            Err(error) => say(&format!("{path}: {error}")),
        }
    }
    Ok(())
}
