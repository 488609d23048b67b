//! Boards on this machine's USB ports, through libusb.

use std::io;
use std::time::{Duration, Instant};

use rusb::{
    Context, Device, DeviceHandle, Direction, Error, TransferType, UsbContext as _,
    constants::LIBUSB_REQUEST_TYPE_VENDOR,
};

use super::chip::Chip;
use super::protocol::Transport;
use super::session::{Bus, Found};
use crate::device::{Devices, Places};

/// Pause between two looks at the bus.
const LOOK: Duration = Duration::from_millis(200);
/// A request that carries a number alone.
const REQUEST: Duration = Duration::from_secs(1);
/// A piece of a file.
const BULK: Duration = Duration::from_secs(5);
/// The ROM needs this long before it can be asked how it went (raspberrypi/usbboot).
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes of a transfer: what the ROM's side takes at once (raspberrypi/usbboot).
const PIECE: usize = 16 << 10;

/// The bus of this machine.
#[derive(Debug)]
pub struct UsbBus {
    context: Context,
    places: Places,
}

impl UsbBus {
    /// Asks libusb for it.
    pub fn open(places: Places) -> io::Result<Self> {
        let context = Context::new().map_err(failed)?;
        Ok(Self { context, places })
    }

    fn devices(&self) -> io::Result<Vec<(Found, Device<Context>)>> {
        let mut all = Vec::new();
        for device in self.context.devices().map_err(failed)?.iter() {
            // One that left meanwhile is not there.
            let Ok(descriptor) = device.device_descriptor() else {
                continue;
            };
            let chip = Chip::of(descriptor.vendor_id(), descriptor.product_id());
            let port = port(&device);
            if let Some((chip, port)) = chip.zip(port) {
                let serial_index = descriptor.serial_number_string_index().unwrap_or(0);
                let found = Found {
                    chip,
                    port,
                    serial_index,
                };
                all.push((found, device));
            }
        }
        Ok(all)
    }
}

/// Returns where a device is plugged in, as the kernel writes it (`1-1.4`).
fn port(device: &Device<Context>) -> Option<String> {
    let ports = device.port_numbers().ok()?;
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    (!ports.is_empty()).then(|| format!("{}-{}", device.bus_number(), ports.join(".")))
}

/// Errors of libusb as those of the kernel behind it.
fn failed(error: Error) -> io::Error {
    let kind = match error {
        Error::Access => io::ErrorKind::PermissionDenied,
        Error::NoDevice | Error::NotFound => io::ErrorKind::NotConnected,
        Error::Timeout => io::ErrorKind::TimedOut,
        Error::Busy => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Bus for UsbBus {
    fn boards(&mut self) -> io::Result<Vec<Found>> {
        let devices = self.devices()?.into_iter();
        Ok(devices.map(|(found, _)| found).collect())
    }

    fn open(&mut self, board: &Found) -> io::Result<Box<dyn Transport>> {
        let mut devices = self.devices()?.into_iter();
        let device = devices.find(|(found, _)| found == board);
        let (_, device) = device.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Box::new(Line::open(&device).map_err(failed)?))
    }

    fn has_disk(&mut self, port: &str) -> bool {
        let Ok(devices) = Devices::scan(&self.places) else {
            return false;
        };
        let mut devices = devices.all().iter();
        devices.any(|device| device.port.as_deref() == Some(port) && device.size > 0)
    }

    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn pause(&mut self) {
        std::thread::sleep(LOOK);
    }
}

/// A board that is open.
struct Line {
    handle: DeviceHandle<Context>,
    endpoint: u8,
}

impl Line {
    fn open(device: &Device<Context>) -> rusb::Result<Self> {
        let config = device.active_config_descriptor()?;
        // Where there are two, the first is not for this.
        let number = u8::from(config.num_interfaces() > 1);
        let mut interfaces = config.interfaces();
        let interface = interfaces.find(|interface| interface.number() == number);
        let settings = interface.ok_or(Error::NotFound)?;
        let endpoint = settings.descriptors().next().and_then(|setting| {
            let mut endpoints = setting.endpoint_descriptors();
            let is_bulk_out = |it: &rusb::EndpointDescriptor<'_>| {
                it.transfer_type() == TransferType::Bulk && it.direction() == Direction::Out
            };
            endpoints.find(is_bulk_out).map(|it| it.address())
        });
        let handle = device.open()?;
        // Not there on every system; the boards have no driver of their own anyway.
        let _unsupported = handle.set_auto_detach_kernel_driver(true);
        handle.claim_interface(number)?;
        Ok(Self {
            handle,
            endpoint: endpoint.ok_or(Error::NotFound)?,
        })
    }
}

/// The low half of a number goes into a request's value, the high half into its index.
fn halves(length: u32) -> (u16, u16) {
    let [a, b, c, d] = length.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

impl Transport for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.announce(length)?;
        for mut piece in bytes.chunks(PIECE) {
            while !piece.is_empty() {
                let count = self.handle.write_bulk(self.endpoint, piece, BULK);
                piece = &piece[count.map_err(failed)?..];
            }
        }
        Ok(())
    }

    fn announce(&mut self, length: u32) -> io::Result<()> {
        let (value, index) = halves(length);
        let kind = LIBUSB_REQUEST_TYPE_VENDOR;
        let sent = self
            .handle
            .write_control(kind, 0, value, index, &[], REQUEST);
        sent.map(drop).map_err(failed)
    }

    fn settle(&mut self) {
        std::thread::sleep(SETTLE);
    }

    fn receive(&mut self, length: usize, limit: Duration) -> io::Result<Vec<u8>> {
        let number = u32::try_from(length).map_err(io::Error::other)?;
        let (value, index) = halves(number);
        let kind = LIBUSB_REQUEST_TYPE_VENDOR | rusb::constants::LIBUSB_ENDPOINT_IN;
        let mut bytes = vec![0; length];
        let count = self
            .handle
            .read_control(kind, 0, value, index, &mut bytes, limit);
        bytes.truncate(count.map_err(failed)?);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_length_goes_in_two_halves() {
        assert_eq!(super::halves(0x0001_8000), (0x8000, 1));
        assert_eq!(super::halves(24), (24, 0));
    }
}
