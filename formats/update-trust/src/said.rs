//! What is signed of a release beside its digest: where it lies, and who shall have it by itself, and when.

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

/// Parts that devices are sorted into: a hundredth of a percent.
const PARTS: u64 = 10_000;

/// What is said of a release. Unknown keys are kept out of the way, so that newer publishers can say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Said {
    /// Name of the product.
    pub product: String,
    /// Version, for people.
    pub version: String,
    /// Time of its newest part, in seconds since 1970.
    pub created: u64,
    /// When it was published, in seconds since 1970. The newest that is not held back is what devices take.
    #[serde(default)]
    pub published: u64,
    /// Its rollback index.
    #[serde(default)]
    pub rollback_index: u32,
    /// Path of its bundle in the channel: plain names, separated by `/`.
    pub bundle: String,
    /// Length of the bundle in bytes.
    #[serde(default)]
    pub length: u64,
    /// Length of its manifest in bytes.
    #[serde(default)]
    pub manifest_length: u64,
    /// Root hash of its root file system: the kernel's command line has it, so a device knows what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256Digest>,
    /// What is new, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Who takes it by itself, and when; everybody at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<Wave>,
    /// Files that make it out of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deltas: Vec<Delta>,
    /// Whether nobody shall have it: it is halted, or was taken back.
    #[serde(default)]
    pub held: Held,
}

/// A file that makes a release out of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delta {
    /// Root hash of the older release.
    pub from: Sha256Digest,
    /// Path in the channel.
    pub path: String,
    /// Digest of its table.
    pub table: Sha256Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// Whether a release is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It is not.
    #[default]
    No,
    /// Nobody begins to install it, not by hand either; who has it keeps it.
    Halted,
    /// Who has it goes on to what is the newest without it.
    Yanked,
}

/// A release that reaches devices little by little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wave {
    /// Mixed into the place of each device, so that no device is always among the first.
    pub salt: String,
    /// When it begins, in seconds since 1970.
    pub start: u64,
    /// Its steps: seconds after the start, and percent of all devices by then. Between two steps the share grows evenly; after
    /// the last one everybody takes it.
    pub steps: Vec<Step>,
    /// Stands still since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<u64>,
}

/// A step of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Seconds after the start.
    pub after: u64,
    /// Percent of all devices, 0 to 100.
    pub percent: u8,
}

impl Said {
    /// Returns the file that makes it out of what has that root hash.
    pub fn delta_from(&self, root: Sha256Digest) -> Option<&Delta> {
        let mut all = self.deltas.iter();
        all.find(|delta| delta.from == root && is_plain(&delta.path))
    }

    /// Whether the bundle's path leads nowhere but into the channel.
    pub fn has_plain_path(&self) -> bool {
        is_plain(&self.bundle)
    }

    /// Whether a device takes it by itself at that time.
    pub fn is_for(&self, device: &str, now: u64) -> bool {
        self.held == Held::No
            && self
                .wave
                .as_ref()
                .is_none_or(|wave| wave.reaches(device, now))
    }
}

/// Plain names, separated by `/`.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let is_name =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_name)
    })
}

impl Wave {
    /// Returns the share of devices that it reaches at that time, in hundredths of a percent.
    pub fn share(&self, now: u64) -> u64 {
        let now = self.paused.map_or(now, |paused| paused.min(now));
        let Some(since) = now.checked_sub(self.start) else {
            return 0;
        };
        let mut from = Step {
            after: 0,
            percent: 0,
        };
        for to in &self.steps {
            let (low, high) = (hundredths(from), hundredths(*to));
            if since < to.after {
                let span = to.after.saturating_sub(from.after).max(1);
                let gained = u128::from(high.saturating_sub(low))
                    * u128::from(since.saturating_sub(from.after))
                    / u128::from(span);
                return low + u64::try_from(gained).unwrap_or(PARTS);
            }
            from = *to;
        }
        PARTS
    }

    /// Whether it has reached a device at that time. A device never falls out again as long as the share grows.
    pub fn reaches(&self, device: &str, now: u64) -> bool {
        let mut bytes = self.salt.clone().into_bytes();
        bytes.push(0);
        bytes.extend(device.as_bytes());
        let digest = Sha256Digest::of(&bytes);
        let first = digest.as_bytes().first_chunk().expect("eight bytes");
        u64::from_be_bytes(*first) % PARTS < self.share(now)
    }
}

fn hundredths(step: Step) -> u64 {
    u64::from(step.percent.min(100)) * 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Wave {
        let steps = [(3600, 1), (86_400, 10), (172_800, 100)];
        Wave {
            salt: "a".into(),
            start: 1000,
            steps: steps.map(|(after, percent)| Step { after, percent }).into(),
            paused: None,
        }
    }

    #[test]
    fn a_wave_grows_evenly_between_its_steps_and_ends_with_everybody() {
        let wave = wave();
        let at = |since: u64| wave.share(1000 + since);
        assert_eq!(wave.share(0), 0);
        assert_eq!((at(0), at(1800), at(3600)), (0, 50, 100));
        assert_eq!(at(45_000), 550);
        assert_eq!((at(86_400), at(129_600), at(172_800)), (1000, 5500, 10_000));
        assert_eq!(at(u64::MAX - 1000), 10_000);
        let paused = Wave {
            paused: Some(1000 + 3600),
            ..wave
        };
        assert_eq!((paused.share(1000), paused.share(u64::MAX)), (0, 100));
    }

    #[test]
    fn as_many_devices_are_reached_as_the_share_says_and_none_falls_out() {
        let wave = wave();
        let devices: Vec<String> = (0..4000).map(|number| format!("device-{number}")).collect();
        let mut before: Vec<&String> = Vec::new();
        for since in (0..=172_800).step_by(14_400) {
            let now = 1000 + since;
            let reached: Vec<&String> = devices
                .iter()
                .filter(|device| wave.reaches(device, now))
                .collect();
            let expected = wave.share(now) * 4000 / 10_000;
            assert!(reached.len().abs_diff(usize::try_from(expected).unwrap()) < 130);
            assert!(before.iter().all(|device| reached.contains(device)));
            before = reached;
        }
        // Another salt, other devices first.
        let other = Wave {
            salt: "b".into(),
            ..wave.clone()
        };
        let first = |wave: &Wave| {
            let first = devices
                .iter()
                .filter(|device| wave.reaches(device, 1000 + 86_400));
            first.cloned().collect::<Vec<_>>()
        };
        assert_ne!(first(&wave), first(&other));
    }

    #[test]
    fn a_path_stays_in_the_channel() {
        let said = |bundle: &str| Said {
            product: "kvm".into(),
            version: "1".into(),
            created: 0,
            published: 0,
            rollback_index: 0,
            bundle: bundle.into(),
            length: 0,
            manifest_length: 0,
            root: None,
            notes: None,
            wave: None,
            deltas: Vec::new(),
            held: Held::No,
        };
        assert!(said("bundles/kvm-1.0~rc1+2.upd").has_plain_path());
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "bundles/../a",
            "a//b",
            "http://x/a",
            "a?b",
            "a%2e%2e",
            "a\\b",
            ".a",
        ] {
            assert!(!said(bad).has_plain_path(), "{bad}");
        }
    }
}
