//! `autoboot.txt`: which partition the firmware goes on with, and which one once after `tryboot`.
//!
//! Raspberry Pi documentation, "autoboot.txt": at most 512 bytes, on the first partition; sections `[all]`,
//! `[none]` and `[tryboot]`; settings `boot_partition` and `tryboot_a_b`.

use std::fmt::Write as _;

/// Name of the file.
pub const FILE: &str = "autoboot.txt";
/// The firmware reads no more.
pub const LONGEST: usize = 512;
/// Length of the files that are written here, in bytes: always the same, so that neither the table of clusters nor the
/// folder's entry changes when another slot is chosen; below the limit, since nobody says what happens on it; and within one
/// sector, which disks write whole or not at all.
pub const LENGTH: usize = 510;

/// What `autoboot.txt` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Autoboot {
    /// Partition, counted from 1, that is gone on with; 0 or nothing is the first that can boot.
    pub partition: Option<u32>,
    /// The same after a restart with `tryboot`.
    pub tryboot: Option<u32>,
    /// Whether `tryboot` chooses a partition, and not a file `tryboot.txt`.
    pub is_ab: bool,
}

impl Autoboot {
    /// Chooses `partition`, and `other` once after `tryboot`.
    pub const fn new(partition: u32, other: u32) -> Self {
        Self {
            partition: Some(partition),
            tryboot: Some(other),
            is_ab: true,
        }
    }

    /// Writes the file, [`LENGTH`] bytes.
    pub fn to_file(self) -> Vec<u8> {
        let mut text = String::from("[all]\n");
        if self.is_ab {
            text.push_str("tryboot_a_b=1\n");
        }
        for (section, partition) in [("", self.partition), ("[tryboot]\n", self.tryboot)] {
            if let Some(partition) = partition {
                let _written = writeln!(text, "{section}boot_partition={partition}");
            }
        }
        text.push_str("[all]\n# One sector, written over in place: which slot starts.\n");
        let mut bytes = text.into_bytes();
        bytes.resize(LENGTH - 1, b'#');
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file as the firmware does: the last setting that holds wins, what it does not know it skips.
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
        let mut found = Self::default();
        let (mut holds, mut holds_once) = (true, true);
        for line in text.lines() {
            let line = line.split(['#', '\0']).next().unwrap_or_default().trim();
            if let Some(section) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                (holds, holds_once) = match section {
                    "all" => (true, true),
                    "tryboot" => (false, true),
                    _ => (false, false),
                };
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            match (key.trim(), value.trim().parse::<u32>()) {
                ("boot_partition", Ok(partition)) => {
                    if holds {
                        found.partition = Some(partition);
                    }
                    if holds_once {
                        found.tryboot = Some(partition);
                    }
                }
                ("tryboot_a_b", Ok(value)) if holds => found.is_ab = value == 1,
                _ => {}
            }
        }
        found
    }

    /// Returns the partition that is gone on with; `None` is the first that can boot.
    pub fn chosen(self, is_tryboot: bool) -> Option<u32> {
        let partition = if is_tryboot {
            self.tryboot
        } else {
            self.partition
        };
        partition.filter(|partition| *partition != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_is_always_as_long(partition in 0_u32..100, other in 0_u32..100) {
            let written = Autoboot::new(partition, other);
            let bytes = written.to_file();
            prop_assert_eq!(bytes.len(), LENGTH);
            prop_assert_eq!(Autoboot::read(&bytes), written);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _read = Autoboot::read(&bytes);
        }
    }

    #[test]
    fn sections_choose_and_what_follows_the_limit_is_not_there() {
        let documented = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        let read = Autoboot::read(documented.as_bytes());
        assert_eq!((read.chosen(false), read.chosen(true)), (Some(2), Some(3)));
        let read = Autoboot::read(b"boot_partition=2\n[none]\nboot_partition=9\n");
        assert_eq!((read.chosen(false), read.chosen(true)), (Some(2), Some(2)));
        let late = format!("boot_partition=2\n{}\nboot_partition=3\n", "#".repeat(500));
        assert_eq!(Autoboot::read(late.as_bytes()).chosen(false), Some(2));
        assert_eq!(Autoboot::read(b"boot_partition=0\n").chosen(false), None);
    }
}
