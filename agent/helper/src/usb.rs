//! Resets a capture dongle that went silent, by the port that it is plugged into. Only dongles: what else
//! is on the bus is no business of the agent.

use std::fmt;
use std::path::Path;

use rusb::{Device, GlobalContext};
use serde::{Deserialize, Serialize};

/// Class of video interfaces (USB Video Class 1.5, §A.1).
const VIDEO: u8 = 0x0e;
/// Most hubs between the controller and a device (USB 2.0, §4.1.1), and the device itself.
const DEPTH: usize = 7;

/// Where a device is plugged in, as V4L2 says it: `usb-CONTROLLER-PORT.PORT` (`usb_make_path`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UsbPlace {
    controller: String,
    ports: Vec<u8>,
}

/// The text names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place on the USB bus is usb-CONTROLLER-PORT.PORT")]
pub struct BadPlace;

/// A dongle was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The bus cannot be looked at, or the reset failed.
    #[error("the USB bus does not do it")]
    Usb(#[from] rusb::Error),
    /// Nothing is plugged in there.
    #[error("nothing is plugged in at {0}")]
    Nothing(UsbPlace),
    /// Something else is plugged in there.
    #[error("what is plugged in at {0} captures no video")]
    NoVideo(UsbPlace),
}

impl TryFrom<String> for UsbPlace {
    type Error = BadPlace;

    fn try_from(text: String) -> Result<Self, BadPlace> {
        let rest = text.strip_prefix("usb-").ok_or(BadPlace)?;
        let (controller, ports) = rest.rsplit_once('-').ok_or(BadPlace)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-');
        let is_good = (1..=64).contains(&controller.len())
            && controller.chars().all(is_name)
            && !controller.starts_with('.');
        let ports: Result<Vec<u8>, _> = ports.split('.').map(str::parse).collect();
        let ports = ports.map_err(|_error| BadPlace)?;
        let is_path = ports.len() <= DEPTH && ports.iter().all(|port| *port > 0);
        (is_good && is_path)
            .then(|| Self {
                controller: controller.to_owned(),
                ports,
            })
            .ok_or(BadPlace)
    }
}

impl From<UsbPlace> for String {
    fn from(place: UsbPlace) -> Self {
        place.to_string()
    }
}

impl fmt::Display for UsbPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.ports.iter().map(u8::to_string).collect();
        write!(f, "usb-{}-{}", self.controller, ports.join("."))
    }
}

/// Resets the dongle at a place: it comes back as if it had been pulled out and put in.
pub fn reset(place: &UsbPlace, sysfs: &Path) -> Result<(), ResetError> {
    let devices = rusb::devices()?;
    let is_there = |device: &Device<GlobalContext>| {
        device
            .port_numbers()
            .is_ok_and(|ports| ports == place.ports)
            && controller_of(sysfs, device.bus_number()).as_deref() == Some(&place.controller)
    };
    let found = devices.iter().find(is_there);
    let device = found.ok_or_else(|| ResetError::Nothing(place.clone()))?;
    if !captures_video(&device)? {
        return Err(ResetError::NoVideo(place.clone()));
    }
    match device.open()?.reset() {
        // It came back as another number: that is a reset, too.
        Ok(()) | Err(rusb::Error::NotFound | rusb::Error::NoDevice) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn captures_video(device: &Device<GlobalContext>) -> Result<bool, rusb::Error> {
    let config = device.active_config_descriptor()?;
    let is_video = config
        .interfaces()
        .flat_map(|interface| {
            interface
                .descriptors()
                .map(|one| one.class_code())
                .collect::<Vec<_>>()
        })
        .any(|class| class == VIDEO);
    Ok(is_video)
}

/// Returns the controller of a bus: the folder that its root hub lies in.
fn controller_of(sysfs: &Path, bus: u8) -> Option<String> {
    let hub = fs_err::canonicalize(sysfs.join(format!("bus/usb/devices/usb{bus}"))).ok()?;
    Some(hub.parent()?.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_read_as_v4l2_writes_them() {
        for place in [
            "usb-0000:01:00.0-1.2",
            "usb-3f980000.usb-1",
            "usb-xhci-hcd.0.auto-1.4.3",
        ] {
            assert_eq!(
                UsbPlace::try_from(place.to_owned()).unwrap().to_string(),
                place
            );
        }
        for bad in [
            "",
            "usb-",
            "usb-1",
            "usb-a-0",
            "usb-a-1.",
            "usb-../x-1",
            "platform:vivid-000",
            "usb-a-1.1.1.1.1.1.1.1",
        ] {
            assert!(UsbPlace::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_controller_is_what_the_root_hub_lies_in() {
        let sysfs = tempfile::tempdir().unwrap();
        let hub = sysfs.path().join("devices/platform/soc/3f980000.usb/usb1");
        let buses = sysfs.path().join("bus/usb/devices");
        fs_err::create_dir_all(&hub).unwrap();
        fs_err::create_dir_all(&buses).unwrap();
        std::os::unix::fs::symlink(&hub, buses.join("usb1")).unwrap();
        assert_eq!(
            controller_of(sysfs.path(), 1).as_deref(),
            Some("3f980000.usb")
        );
        assert_eq!(controller_of(sysfs.path(), 2), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_none(text in ".{0,40}") {
            if let Ok(place) = UsbPlace::try_from(text) {
                prop_assert!(UsbPlace::try_from(place.to_string()).is_ok());
            }
        }
    }
}
