//! The USB gadget, through configfs (kernel: `Documentation/usb/gadget_configfs.rst`).
//!
//! ```text
//! /sys/kernel/config/usb_gadget/bakelite/
//!   idVendor idProduct bcdUSB bcdDevice
//!   strings/0x409/{serialnumber,manufacturer,product}
//!   configs/c.1/{MaxPower,bmAttributes} configs/c.1/strings/0x409/configuration
//!   functions/hid.keyboard …              one interface a device, the keyboard first
//!   functions/mass_storage.drive/lun.0/   always last
//!   UDC                                    name of the controller: written last, plugs it in
//! ```
//!
//! Attributes that not every kernel has are written only if they exist.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use agent_input::descriptor;

use crate::protocol::{GadgetState, Profile};

/// Linux Foundation, Multifunction Composite Gadget: the kernel's numbers for gadgets like this one.
const VENDOR: &str = "0x1d6b";
const PRODUCT: &str = "0x0104";
/// USB 2.0, in binary-coded decimals.
const USB: &str = "0x0200";
/// Bus-powered, able to wake the host (USB 2.0, table 9-10).
const ATTRIBUTES: &str = "0xa0";
/// In milliamperes.
const POWER: &str = "250";
/// English (United States).
const LANGUAGE: &str = "0x409";
/// The drive's folder below the gadget.
pub(crate) const LUN: &str = "functions/mass_storage.drive/lun.0";

/// The gadget cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GadgetError {
    /// There is no controller that can be a device.
    #[error(
        "no USB device controller in {folder}: on a Raspberry Pi, config.txt needs dtoverlay=dwc2,dr_mode=peripheral"
    )]
    NoController {
        /// Where one was looked for.
        folder: String,
    },
    /// An attribute cannot be written.
    #[error("cannot write “{value}” to {path}")]
    Write {
        /// The attribute.
        path: String,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder or link cannot be made or removed.
    #[error("cannot make or remove a part of the USB gadget")]
    Tree(#[source] io::Error),
}

/// Where the kernel keeps gadgets and controllers.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/sys/kernel/config/usb_gadget`.
    pub gadgets: PathBuf,
    /// `/sys/class/udc`.
    pub controllers: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            gadgets: "/sys/kernel/config/usb_gadget".into(),
            controllers: "/sys/class/udc".into(),
        }
    }
}

impl Places {
    /// Returns the gadget's folder.
    pub fn gadget(&self) -> PathBuf {
        self.gadgets.join("bakelite")
    }

    /// Returns the name of the first controller.
    pub fn controller(&self) -> Result<String, GadgetError> {
        let mut names: Vec<String> = fs_err::read_dir(&self.controllers)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let none = || GadgetError::NoController {
            folder: self.controllers.display().to_string(),
        };
        names.into_iter().next().ok_or_else(none)
    }
}

/// Looks how the host is, again and again: the kernel's file stays open, because this is done for as long as
/// the device runs.
#[derive(Debug)]
pub struct HostWatch {
    places: Places,
    file: Option<File>,
}

impl HostWatch {
    /// Makes one. Nothing is opened yet.
    pub fn new(places: Places) -> Self {
        Self { places, file: None }
    }

    /// Returns what the controller says of the host: `configured`, `suspended`, `not attached`…
    pub fn state(&mut self) -> Option<String> {
        if self.file.is_none() {
            let controller = self.places.controller().ok()?;
            let path = self.places.controllers.join(controller).join("state");
            self.file = File::open(path).ok();
        }
        // A read from the beginning asks the kernel anew (sysfs.rst, “reading/writing attribute data”).
        let mut text = [0; 64];
        let read = self.file.as_ref()?.read_at(&mut text, 0);
        if let Ok(length @ 1..) = read {
            let text = String::from_utf8_lossy(&text[..length]);
            return Some(text.trim().to_owned());
        }
        // The controller is gone; there may be another.
        self.file = None;
        None
    }
}

/// A HID function.
struct Hid {
    name: &'static str,
    /// 1 is the boot interface (HID 1.11, §4.2).
    subclass: &'static str,
    /// 1 keyboard, 2 mouse (HID 1.11, §4.3).
    protocol: &'static str,
    length: &'static str,
    descriptor: &'static [u8],
}

const KEYBOARD: Hid = Hid {
    name: "hid.keyboard",
    subclass: "1",
    protocol: "1",
    length: "8",
    descriptor: descriptor::KEYBOARD,
};
const ABSOLUTE: Hid = Hid {
    name: "hid.absolute",
    subclass: "0",
    protocol: "0",
    length: "7",
    descriptor: descriptor::ABSOLUTE_MOUSE,
};
const RELATIVE: Hid = Hid {
    name: "hid.relative",
    subclass: "1",
    protocol: "2",
    length: "4",
    descriptor: descriptor::RELATIVE_MOUSE,
};

/// What a profile is made of.
struct Parts {
    /// Windows remembers descriptors by this number: each profile needs its own.
    device: &'static str,
    hids: &'static [Hid],
    has_drive: bool,
}

fn parts(profile: Profile) -> Parts {
    let (device, hids, has_drive): (_, &[Hid], _) = match profile {
        Profile::BiosSafe => ("0x0101", &[KEYBOARD], false),
        Profile::Full => ("0x0102", &[KEYBOARD, ABSOLUTE, RELATIVE], true),
        Profile::Mac => ("0x0103", &[KEYBOARD, ABSOLUTE], true),
    };
    Parts {
        device,
        hids,
        has_drive,
    }
}

/// Makes the gadget and plugs it in. One that is there already and is the same stays: the host need
/// not see a plug pulled, and what is in the drive stays there.
pub fn make(places: &Places, profile: Profile, serial: &str) -> Result<GadgetState, GadgetError> {
    let controller = places.controller()?;
    let parts = parts(profile);
    let gadget = places.gadget();
    let reads = |name: &str| fs_err::read_to_string(gadget.join(name)).unwrap_or_default();
    let is_same = reads("bcdDevice").trim() == parts.device && reads("UDC").trim() == controller;
    if !is_same {
        remove(places)?;
        build(places, profile, &parts, serial)?;
        write(&gadget, "UDC", &controller)?;
    }
    let function = |hid: &Hid| gadget.join("functions").join(hid.name);
    let node = |hid: &Hid| {
        let has_it = parts.hids.iter().any(|other| other.name == hid.name);
        has_it.then(|| node(&function(hid))).flatten()
    };
    Ok(GadgetState {
        profile,
        keyboard: node(&KEYBOARD),
        absolute_mouse: node(&ABSOLUTE),
        relative_mouse: node(&RELATIVE),
        controller,
        has_drive: parts.has_drive,
        can_wake: function(&KEYBOARD).join("wakeup_on_write").exists(),
    })
}

fn build(
    places: &Places,
    profile: Profile,
    parts: &Parts,
    serial: &str,
) -> Result<(), GadgetError> {
    let gadget = places.gadget();
    let folder = |path: &str| fs_err::create_dir_all(gadget.join(path)).map_err(GadgetError::Tree);
    folder(&format!("strings/{LANGUAGE}"))?;
    folder(&format!("configs/c.1/strings/{LANGUAGE}"))?;
    for (name, value) in [
        ("idVendor", VENDOR),
        ("idProduct", PRODUCT),
        ("bcdUSB", USB),
        ("bcdDevice", parts.device),
        ("strings/0x409/serialnumber", serial),
        ("strings/0x409/manufacturer", "Bakelite"),
        ("strings/0x409/product", "Keyboard, mouse and drive"),
        ("configs/c.1/bmAttributes", ATTRIBUTES),
        ("configs/c.1/MaxPower", POWER),
        ("configs/c.1/strings/0x409/configuration", "All"),
    ] {
        write(&gadget, name, value)?;
    }
    for hid in parts.hids {
        let function = gadget.join("functions").join(hid.name);
        fs_err::create_dir_all(&function).map_err(GadgetError::Tree)?;
        if profile == Profile::BiosSafe {
            // Lights then come over the control pipe, as firmware expects.
            write_if_there(&function, "no_out_endpoint", "1")?;
        }
        write_if_there(&function, "wakeup_on_write", "1")?;
        write(&function, "subclass", hid.subclass)?;
        write(&function, "protocol", hid.protocol)?;
        write(&function, "report_length", hid.length)?;
        write_bytes(&function.join("report_desc"), hid.descriptor)?;
        link(&gadget, hid.name)?;
    }
    if parts.has_drive {
        make_drive(&gadget)?;
    }
    Ok(())
}

fn make_drive(gadget: &Path) -> Result<(), GadgetError> {
    let function = gadget.join("functions/mass_storage.drive");
    fs_err::create_dir_all(function.join("lun.0")).map_err(GadgetError::Tree)?;
    // Some controllers cannot stall an endpoint in time.
    write_if_there(&function, "stall", "0")?;
    let lun = gadget.join(LUN);
    write(&lun, "removable", "1")?;
    write(&lun, "ro", "1")?;
    // Vendor (8), product (16) and revision (4), each padded with blanks (SPC-4, §6.4.2).
    write_if_there(&lun, "inquiry_string", "BakeliteVirtual media   0001")?;
    link(gadget, "mass_storage.drive")
}

/// Takes the gadget away: the host sees a plug pulled.
pub fn remove(places: &Places) -> Result<(), GadgetError> {
    let gadget = places.gadget();
    if !gadget.exists() {
        return Ok(());
    }
    unplug(places)?;
    let entries = |folder: &str| -> Vec<PathBuf> {
        let entries = fs_err::read_dir(gadget.join(folder)).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    };
    for path in entries("configs/c.1") {
        if path.is_symlink() {
            fs_err::remove_file(path).map_err(GadgetError::Tree)?;
        }
    }
    for path in [
        entries("functions"),
        entries("configs/c.1/strings"),
        entries("configs"),
        entries("strings"),
        vec![gadget.clone()],
    ]
    .concat()
    {
        fs_err::remove_dir(path).map_err(GadgetError::Tree)?;
    }
    Ok(())
}

/// Plugs the gadget in.
pub fn plug(places: &Places) -> Result<(), GadgetError> {
    let controller = places.controller()?;
    let bound = fs_err::read_to_string(places.gadget().join("UDC")).unwrap_or_default();
    if bound.trim() == controller {
        return Ok(());
    }
    write(&places.gadget(), "UDC", &controller)
}

/// Pulls the plug.
pub fn unplug(places: &Places) -> Result<(), GadgetError> {
    let bound = fs_err::read_to_string(places.gadget().join("UDC")).unwrap_or_default();
    if bound.trim().is_empty() {
        return Ok(());
    }
    write(&places.gadget(), "UDC", "\n")
}

/// Returns the node's name from the function's `dev`: major and minor number.
fn node(function: &Path) -> Option<String> {
    let numbers = fs_err::read_to_string(function.join("dev")).ok()?;
    let (_, minor) = numbers.trim().split_once(':')?;
    Some(format!("hidg{}", minor.parse::<u32>().ok()?))
}

fn link(gadget: &Path, function: &str) -> Result<(), GadgetError> {
    let (from, to) = (
        gadget.join("functions").join(function),
        gadget.join("configs/c.1").join(function),
    );
    fs_err::os::unix::fs::symlink(from, to).map_err(GadgetError::Tree)
}

pub(crate) fn write(folder: &Path, name: &str, value: &str) -> Result<(), GadgetError> {
    write_bytes(&folder.join(name), value.as_bytes())
}

/// Returns whether the attribute exists.
pub(crate) fn write_if_there(folder: &Path, name: &str, value: &str) -> Result<bool, GadgetError> {
    let is_there = folder.join(name).exists();
    if is_there {
        write(folder, name, value)?;
    }
    Ok(is_there)
}

/// One write a value: the kernel takes each write as a whole.
fn write_bytes(path: &Path, value: &[u8]) -> Result<(), GadgetError> {
    fs_err::write(path, value).map_err(|source| GadgetError::Write {
        path: path.display().to_string(),
        value: String::from_utf8_lossy(value).trim().to_owned(),
        source,
    })
}

/// Returns the serial number of this device: its own, always the same, and saying nothing else.
pub fn serial(machine_id: &str) -> String {
    let text = format!("bakelite usb serial {}", machine_id.trim());
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hex::encode_upper(&digest.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(folder: &Path) -> Places {
        let places = Places {
            gadgets: folder.join("usb_gadget"),
            controllers: folder.join("udc"),
        };
        fs_err::create_dir_all(&places.gadgets).unwrap();
        fs_err::create_dir_all(places.controllers.join("dummy_udc.0")).unwrap();
        places
    }

    /// Ordinary files stand for attributes here; the real kernel judges in the virtual machine.
    #[test]
    fn the_tree_is_whole_and_the_controller_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let state = make(&places, Profile::Full, "0011").unwrap();
        assert_eq!(state.controller, "dummy_udc.0");
        let read = |path: &str| fs_err::read_to_string(places.gadget().join(path)).unwrap();
        assert_eq!(read("UDC"), "dummy_udc.0");
        assert_eq!(read("strings/0x409/serialnumber"), "0011");
        assert_eq!(read("functions/hid.keyboard/protocol"), "1");
        assert!(
            places
                .gadget()
                .join("configs/c.1/mass_storage.drive")
                .is_symlink()
        );
        assert!(!state.can_wake, "this kernel has no such attribute");
        fs_err::write(places.gadget().join("mark"), "").unwrap();
        assert_eq!(make(&places, Profile::Full, "0011").unwrap(), state);
        assert!(places.gadget().join("mark").exists(), "the same one stays");
        let mut watch = HostWatch::new(places.clone());
        assert_eq!(watch.state(), None);
        let file = folder.path().join("udc/dummy_udc.0/state");
        for state in ["configured", "suspended"] {
            fs_err::write(&file, format!("{state}\n")).unwrap();
            assert_eq!(watch.state().as_deref(), Some(state));
        }
        fs_err::write(&file, "").unwrap();
        assert_eq!(watch.state(), None);
    }

    #[test]
    fn the_safe_profile_is_a_keyboard_alone() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        make(&places, Profile::BiosSafe, "0").unwrap();
        let functions = fs_err::read_dir(places.gadget().join("functions")).unwrap();
        assert_eq!(functions.count(), 1);
    }

    #[test]
    fn without_a_controller_it_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            gadgets: folder.path().into(),
            controllers: folder.path().join("none"),
        };
        let error = make(&places, Profile::Full, "0").unwrap_err();
        assert!(error.to_string().contains("dtoverlay=dwc2"), "{error}");
    }

    #[test]
    fn serials_differ_and_do_not_give_the_machine_away() {
        let (one, two) = (serial("aa\n"), serial("bb"));
        assert_eq!(one.len(), 16);
        assert_ne!(one, two);
        assert_eq!(one, serial("aa"));
        assert!(!serial("0123456789abcdef").contains("0123"));
    }
}
