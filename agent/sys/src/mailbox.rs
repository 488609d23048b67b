//! The firmware's mailbox of a Raspberry Pi: the flag for a single start of the other slot.
//!
//! <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>; Linux: drivers/char/broadcom/vcio.c of
//! Raspberry Pi's kernel, which is the only one that has the device.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The device.
pub const DEVICE: &str = "/dev/vcio";
const GET_REBOOT_FLAGS: u32 = 0x0003_0064;
const SET_REBOOT_FLAGS: u32 = 0x0003_8064;
/// The flag that is `tryboot`.
const TRYBOOT: u32 = 1;
const SUCCESS: u32 = 0x8000_0000;

// IOCTL_MBOX_PROPERTY: _IOWR(100, 0, char *).
mod request {
    nix::ioctl_readwrite_bad!(
        property,
        nix::request_code_readwrite!(100, 0, size_of::<*const u8>()),
        [u32; 7]
    );
}
use request::property;

/// One request for one property with one word, as the firmware reads it: length of all, status, tag, room and length of its
/// value, the value, an end.
const fn message(tag: u32, value: u32) -> [u32; 7] {
    [28, 0, tag, 4, 0, value, 0]
}

fn ask(mailbox: &File, tag: u32, value: u32) -> io::Result<u32> {
    let mut words = message(tag, value);
    // SAFETY: the driver reads and writes as many bytes as the first word says, and those are there.
    unsafe { property(mailbox.as_raw_fd(), &raw mut words) }?;
    if words[1] != SUCCESS {
        return Err(io::Error::other(format!(
            "the firmware answers {:08x} to property {tag:08x}",
            words[1]
        )));
    }
    Ok(words[5])
}

/// Sets the flag, and reads it back.
pub fn set_tryboot(is_set: bool) -> io::Result<()> {
    let mailbox = File::options().read(true).write(true).open(DEVICE)?;
    let wanted = if is_set { TRYBOOT } else { 0 };
    ask(&mailbox, SET_REBOOT_FLAGS, wanted)?;
    let found = ask(&mailbox, GET_REBOOT_FLAGS, 0)?;
    if found & TRYBOOT == wanted {
        return Ok(());
    }
    Err(io::Error::other(
        "the firmware does not keep the flag for the other slot: its EEPROM is too old",
    ))
}
