//! Finds the capture device, by what devices say they are: numbers of device nodes mean nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_sys::v4l2::{Device, Format, FourCc};

use crate::planar;

/// Drivers that can capture but look at no screen: encoders and image processors of the Raspberry Pi.
const NO_SCREENS: &[&str] = &["bcm2835-codec", "bcm2835-isp", "pispbe", "rpi-hevc-dec"];
/// JPEG straight from the dongle costs nothing to encode.
pub const MJPEG: [FourCc; 2] = [FourCc(*b"MJPG"), FourCc(*b"JPEG")];

/// A device that was found.
#[derive(Debug)]
pub struct Source {
    /// The open device.
    pub device: Arc<Device>,
    /// Its node.
    pub node: PathBuf,
    /// What it calls itself.
    pub card: String,
    /// Where it is plugged in, such as `usb-0000:01:00.0-1.2`.
    pub bus: String,
}

/// Opens the device at `node`, or else the first that captures a screen.
pub fn find(node: Option<&Path>) -> Option<Source> {
    let nodes = match node {
        Some(node) => vec![node.to_owned()],
        None => nodes(),
    };
    nodes.into_iter().find_map(|node| open(&node))
}

/// Lists the nodes of video devices by their numbers.
pub(crate) fn nodes() -> Vec<PathBuf> {
    let entries = fs_err::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, node)| node).collect()
}

fn open(node: &Path) -> Option<Source> {
    let device = Device::open(node).ok()?;
    let capability = device.capability().ok()?;
    let is_screen = capability.captures && !NO_SCREENS.contains(&capability.driver.as_str());
    (is_screen && choose(&device.formats()).is_some()).then(|| Source {
        device: Arc::new(device),
        node: node.to_owned(),
        card: capability.card,
        bus: capability.bus,
    })
}

/// Returns the format that costs the least.
pub fn choose(offered: &[FourCc]) -> Option<FourCc> {
    let mut wanted = MJPEG.iter().chain(&planar::FORMATS);
    wanted.find(|format| offered.contains(format)).copied()
}

/// Whether frames come as JPEG.
pub fn is_jpeg(format: &Format) -> bool {
    MJPEG.contains(&format.pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_format_is_chosen() {
        let offered = |names: &[&[u8; 4]]| names.iter().map(|n| FourCc(**n)).collect::<Vec<_>>();
        assert_eq!(
            choose(&offered(&[b"YUYV", b"MJPG"])),
            Some(FourCc(*b"MJPG"))
        );
        assert_eq!(
            choose(&offered(&[b"RGB3", b"UYVY"])),
            Some(FourCc(*b"UYVY"))
        );
        assert_eq!(choose(&offered(&[b"H264", b"GREY"])), None);
        assert_eq!(choose(&[]), None);
    }
}
