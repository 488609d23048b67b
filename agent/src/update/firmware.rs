//! How this machine is asked for the other slot: a Raspberry Pi's mailbox, the register of the emulated machine, or not at
//! all; then the initramfs counts.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent_region::Way;
use agent_region::disk::Disk as _;
use agent_sys::mailbox;
use agent_update::Firmware;

/// Serial number of the disk that stands for the firmware's registers in `bakelite boot`.
const REGISTERS: &str = "bakelite-firmware";
const TRYBOOT: &[u8] = b"tryboot=1";

/// Who is asked.
#[derive(Debug)]
pub(super) enum Board {
    /// Raspberry Pi's kernel.
    Mailbox,
    /// The emulated machine: a disk of one sector.
    Registers(PathBuf),
    /// Another kernel.
    Nobody,
}

impl Board {
    pub(super) fn find() -> io::Result<Self> {
        if Path::new(mailbox::DEVICE).exists() {
            return Ok(Self::Mailbox);
        }
        for entry in fs_err::read_dir("/sys/block")? {
            let entry = entry?;
            let serial = fs_err::read_to_string(entry.path().join("serial"));
            if serial.is_ok_and(|serial| serial.trim() == REGISTERS) {
                return Ok(Self::Registers(Path::new("/dev").join(entry.file_name())));
            }
        }
        Ok(Self::Nobody)
    }

    /// Returns how a slot is tried here.
    pub(super) const fn way(&self) -> Way {
        match self {
            Self::Mailbox | Self::Registers(_) => Way::OneShot,
            Self::Nobody => Way::Counted,
        }
    }

    fn set(&self, is_set: bool) -> io::Result<()> {
        match self {
            Self::Mailbox => mailbox::set_tryboot(is_set),
            Self::Registers(path) => write_register(path, is_set),
            Self::Nobody => Err(io::Error::other(
                "this machine's firmware cannot be asked for a slot",
            )),
        }
    }
}

fn write_register(path: &Path, is_set: bool) -> io::Result<()> {
    let mut sector = [0; 512];
    if is_set {
        sector[..TRYBOOT.len()].copy_from_slice(TRYBOOT);
    }
    let mut disk = File::options().read(true).write(true).open(path)?;
    disk.write_at(0, &sector)?;
    disk.flush()?;
    disk.forget(0, 512);
    let mut back = [0; 512];
    disk.read_at(0, &mut back)?;
    if back == sector {
        Ok(())
    } else {
        Err(io::Error::other("the register does not keep the flag"))
    }
}

impl Firmware for Board {
    fn ask_once(&mut self) -> io::Result<()> {
        self.set(true)
    }

    fn unask(&mut self) -> io::Result<()> {
        self.set(false)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a fixed program with a fixed argument, and no shell"
    )]
    fn restart(&mut self) -> io::Result<()> {
        let status = Command::new("/usr/bin/systemctl").arg("reboot").status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("systemctl reboot: {status}")))
        }
    }
}
