//! How the device itself is, read from the kernel each time. What a kernel does not tell is absent.

use std::path::Path;

use serde::Serialize;

/// Bits of the firmware's `get_throttled` and what they mean (Raspberry Pi documentation, “vcgencmd”).
const THROTTLED: [(u32, &str); 4] = [
    (0, "the supply voltage is too low"),
    (1, "the processor's frequency is capped"),
    (2, "the processor is throttled"),
    (3, "the processor is too hot"),
];
/// So many bits above stands whether it was so since the start.
const SINCE_START: u32 = 16;

/// The facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// Name on the network.
    pub host_name: String,
    /// What the board calls itself.
    pub model: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Degrees Celsius of the processor.
    pub temperature: Option<f64>,
    /// What is wrong with power, cooling or card, now or since the start.
    pub warnings: Vec<String>,
    /// Processes that want to run, over the last minute.
    pub load: Option<f64>,
    /// Bytes of memory that are free for use.
    pub memory_free: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Whether the clock was set by a time server since the start.
    pub is_clock_set: bool,
}

impl Facts {
    /// Reads them below `root`, which is `/` on a device.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| {
            let text = fs_err::read_to_string(root.join(path)).ok()?;
            // The device tree ends its texts with a zero.
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            (!text.is_empty()).then(|| text.to_owned())
        };
        let memory = text("proc/meminfo").unwrap_or_default();
        let kibibytes = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
            let number: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(number * 1024)
        };
        let millidegrees = text("sys/class/thermal/thermal_zone0/temp");
        let load = text("proc/loadavg");
        Self {
            host_name: text("etc/hostname").unwrap_or_else(|| "bakelite".into()),
            model: text("proc/device-tree/model"),
            kernel: text("proc/sys/kernel/osrelease"),
            temperature: millidegrees
                .and_then(|text| text.parse::<f64>().ok())
                .map(|millidegrees| millidegrees / 1000.0),
            warnings: warnings(root),
            load: load.and_then(|load| load.split(' ').next()?.parse().ok()),
            memory_free: kibibytes("MemAvailable:"),
            memory: kibibytes("MemTotal:"),
            is_clock_set: is_clock_set(root),
        }
    }
}

/// Whether a time server has set the clock since the start (`systemd-timesyncd.service(8)`).
pub fn is_clock_set(root: &Path) -> bool {
    root.join("run/systemd/timesync/synchronized").exists()
}

/// Reads what the initramfs says of a card that keeps nothing (`agent/init`), and what the firmware says.
fn warnings(root: &Path) -> Vec<String> {
    let unkept = fs_err::read_to_string(root.join("run/bakelite-unkept")).ok();
    let unkept = unkept.map(|why| {
        let why = why.trim();
        format!("nothing that you change now outlives a restart: flash the card again, or another one if it takes nothing any more ({why})")
    });
    unkept.into_iter().chain(throttled(root)).collect()
}

/// Reads what the firmware says: by its own driver, or by the kernel's (`raspberrypi-hwmon`).
fn throttled(root: &Path) -> Vec<String> {
    let own = root.join("sys/devices/platform/soc/soc:firmware/get_throttled");
    let bits = fs_err::read_to_string(own).ok();
    let bits =
        bits.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    if let Some(bits) = bits {
        let is = |bit: u32| bits >> bit & 1 == 1;
        let told = THROTTLED.iter().filter_map(|(bit, what)| {
            if is(*bit) {
                Some((*what).to_owned())
            } else {
                is(*bit + SINCE_START).then(|| format!("{what}, but not now"))
            }
        });
        return told.collect();
    }
    let monitors = fs_err::read_dir(root.join("sys/class/hwmon"));
    let monitors = monitors.into_iter().flatten().flatten();
    let is_low = monitors.map(|entry| entry.path()).any(|path| {
        let read = |name: &str| fs_err::read_to_string(path.join(name)).unwrap_or_default();
        read("name").trim() == "rpi_volt" && read("in0_lcrit_alarm").trim() == "1"
    });
    let low = || THROTTLED[0].1.to_owned();
    is_low.then(low).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_tells_is_read_and_what_it_does_not_is_absent() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let nothing = Facts::read(root.path());
        assert_eq!((nothing.temperature, nothing.warnings.len()), (None, 0));
        write("etc/hostname", "rack-7\n");
        write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
        write("sys/class/thermal/thermal_zone0/temp", "48312\n");
        write(
            "proc/meminfo",
            "MemTotal:   1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n",
        );
        write("proc/loadavg", "0.52 0.58 0.59 1/400 12345\n");
        write(
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            "50005\n",
        );
        let facts = Facts::read(root.path());
        assert_eq!(facts.host_name, "rack-7");
        assert_eq!(
            facts.model.as_deref(),
            Some("Raspberry Pi 4 Model B Rev 1.4")
        );
        assert_eq!(facts.temperature, Some(48.312));
        assert_eq!(
            (facts.memory, facts.memory_free),
            (Some(1_024_000), Some(614_400))
        );
        assert_eq!(facts.load, Some(0.52));
        assert_eq!(
            facts.warnings,
            [
                "the supply voltage is too low",
                "the processor is throttled"
            ]
        );
        write(
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            "0x50000",
        );
        assert!(Facts::read(root.path()).warnings[0].ends_with("but not now"));
        write(
            "run/bakelite-unkept",
            "cannot mount the data partition: EACCES",
        );
        let warnings = Facts::read(root.path()).warnings;
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].ends_with("(cannot mount the data partition: EACCES)"));
    }

    #[test]
    fn the_kernels_own_driver_tells_of_low_voltage() {
        let root = tempfile::tempdir().unwrap();
        let monitor = root.path().join("sys/class/hwmon/hwmon1");
        fs_err::create_dir_all(&monitor).unwrap();
        fs_err::write(monitor.join("name"), "rpi_volt\n").unwrap();
        fs_err::write(monitor.join("in0_lcrit_alarm"), "1\n").unwrap();
        assert_eq!(Facts::read(root.path()).warnings.len(), 1);
    }
}
