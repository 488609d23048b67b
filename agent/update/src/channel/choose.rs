//! Which release is for this device.

use std::cmp::Ordering;

use content_digest::Sha256Digest;
use update_trust::{Held, Said};

/// What a device is, for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Name of its product.
    pub product: String,
    /// Version that runs.
    pub version: String,
    /// Root hash that runs.
    pub root: Option<Sha256Digest>,
    /// Lowest rollback index that it takes.
    pub rollback_index: u32,
    /// An id of its own, for waves. Nobody is told.
    pub id: String,
}

/// A release for this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Digest of its manifest, which was vouched for.
    pub manifest: Sha256Digest,
    /// What is said of it.
    pub said: Said,
    /// Whether the device takes it by itself now: its wave has come, and it leads up.
    pub is_due: bool,
    /// Whether it replaces a release that was taken back.
    pub is_retreat: bool,
}

/// Returns the release that a device should go to; nothing if it runs the newest. What a wave has not reached yet is offered all
/// the same: its owner may want it now.
pub fn choose(
    releases: impl Iterator<Item = (Sha256Digest, Said)>,
    device: &Device,
    now: u64,
) -> Option<Offer> {
    let mut own: Vec<(Sha256Digest, Said)> = releases
        .filter(|(_, said)| said.product == device.product)
        .collect();
    own.sort_by_key(|(_, said)| std::cmp::Reverse((said.published, said.created)));
    let runs = own.iter().position(|(_, said)| match said.root {
        Some(root) => Some(root) == device.root,
        None => said.version == device.version,
    });
    let is_taken_back = runs.is_some_and(|at| own[at].1.held == Held::Yanked);
    let may = |said: &Said| {
        said.held == Held::No
            && said.rollback_index >= device.rollback_index
            && said.has_plain_path()
    };
    // From a release that was taken back also those lead away that are older.
    let newer = match runs {
        Some(at) if !is_taken_back => &own[..at],
        _ => &own[..],
    };
    let offer = |(manifest, said): &(Sha256Digest, Said)| Offer {
        manifest: *manifest,
        said: said.clone(),
        is_due: said.is_for(&device.id, now)
            && (runs.is_some() || is_newer(&said.version, &device.version)),
        is_retreat: is_taken_back,
    };
    let mut candidates = newer.iter().filter(|(_, said)| may(said)).map(offer);
    let first = candidates.next()?;
    if first.is_due {
        return Some(first);
    }
    // What is out for everybody is not held up by what is not.
    Some(candidates.find(|offer| offer.is_due).unwrap_or(first))
}

/// Whether a version is newer than another, number by number. A device that no channel knows does not go down by itself.
fn is_newer(version: &str, than: &str) -> bool {
    let (mut one, mut other) = (version, than);
    loop {
        if one.is_empty() || other.is_empty() {
            // 1.0.1 is newer than 1.0, and 1.0 newer than 1.0~rc1.
            return !one.is_empty() && !one.starts_with('~') || other.starts_with('~');
        }
        let (word, rest) = split(one, |c| !c.is_ascii_digit());
        let (other_word, other_rest) = split(other, |c| !c.is_ascii_digit());
        if word != other_word {
            let weight = |word: &str| (!word.starts_with('~'), word.to_owned());
            return weight(word) > weight(other_word);
        }
        let (number, rest) = split(rest, |c| c.is_ascii_digit());
        let (other_number, other_rest) = split(other_rest, |c| c.is_ascii_digit());
        let value = |text: &str| {
            let text = text.trim_start_matches('0');
            (text.len(), text.to_owned())
        };
        match value(number).cmp(&value(other_number)) {
            Ordering::Equal => (one, other) = (rest, other_rest),
            order => return order == Ordering::Greater,
        }
    }
}

fn split(text: &str, is_in: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_in(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use update_trust::{Step, Wave};

    use super::*;

    const NOW: u64 = 1_767_225_600;

    fn said(version: &str, published: u64) -> (Sha256Digest, Said) {
        let said = Said {
            product: "kvm".into(),
            version: version.into(),
            created: 1,
            published,
            rollback_index: 1,
            bundle: format!("bundles/kvm-{version}.upd"),
            length: 1,
            manifest_length: 1,
            root: Some(Sha256Digest::of(version)),
            notes: None,
            wave: None,
            deltas: Vec::new(),
            held: Held::No,
        };
        (Sha256Digest::of(format!("manifest {version}")), said)
    }

    fn device(version: &str) -> Device {
        Device {
            product: "kvm".into(),
            version: version.into(),
            root: Some(Sha256Digest::of(version)),
            rollback_index: 1,
            id: "a".into(),
        }
    }

    fn chosen(releases: &[(Sha256Digest, Said)], device: &Device) -> Option<(String, bool)> {
        let offer = choose(releases.iter().cloned(), device, NOW)?;
        Some((offer.said.version, offer.is_due))
    }

    fn is_up(chosen: Option<&(String, bool)>, version: &str) -> bool {
        chosen.is_some_and(|(found, is_due)| found == version && *is_due)
    }

    #[test]
    fn the_newest_is_taken_and_who_has_it_takes_nothing() {
        let all = [said("1.0", 1), said("3.0", 3), said("2.0", 2)];
        assert!(is_up(chosen(&all, &device("1.0")).as_ref(), "3.0"));
        assert_eq!(chosen(&all, &device("3.0")), None);
        let foreign = Device {
            product: "other".into(),
            ..device("1.0")
        };
        assert_eq!(chosen(&all, &foreign), None);
        let ahead = Device {
            rollback_index: 2,
            ..device("1.0")
        };
        assert_eq!(chosen(&all, &ahead), None);
        // Not in the channel: up by itself, down by hand only.
        assert!(is_up(chosen(&all, &device("2.9")).as_ref(), "3.0"));
        assert_eq!(chosen(&all, &device("10.0")), Some(("3.0".into(), false)));
    }

    #[test]
    fn what_is_halted_nobody_takes_and_what_was_taken_back_is_left() {
        let mut all = [said("1.0", 1), said("2.0", 2), said("3.0", 3)];
        all[2].1.held = Held::Halted;
        assert!(is_up(chosen(&all, &device("1.0")).as_ref(), "2.0"));
        assert_eq!(chosen(&all, &device("3.0")), None, "who has it keeps it");
        all[2].1.held = Held::Yanked;
        let offer = choose(all.iter().cloned(), &device("3.0"), NOW).unwrap();
        assert_eq!((offer.said.version.as_str(), offer.is_due), ("2.0", true));
        assert!(offer.is_retreat);
        // Not below its rollback index.
        let ahead = Device {
            rollback_index: 2,
            ..device("3.0")
        };
        assert_eq!(chosen(&all, &ahead), None);
    }

    #[test]
    fn a_wave_that_has_not_come_does_not_hold_up_what_is_for_everybody() {
        let mut all = [said("1.0", 1), said("2.0", 2), said("3.0", 3)];
        all[2].1.wave = Some(Wave {
            salt: String::new(),
            start: NOW + 1,
            steps: vec![Step {
                after: 1,
                percent: 100,
            }],
            paused: None,
        });
        assert!(is_up(chosen(&all, &device("1.0")).as_ref(), "2.0"));
        // Its owner may have it now.
        assert_eq!(chosen(&all, &device("2.0")), Some(("3.0".into(), false)));
    }

    #[test]
    fn a_bundle_elsewhere_is_not_taken() {
        let mut all = [said("2.0", 2)];
        all[0].1.bundle = "../../other/x.upd".into();
        assert_eq!(chosen(&all, &device("1.0")), None);
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let order = [
            "0.9", "1.0~rc1", "1.0~rc2", "1.0", "1.0.1", "1.0.10", "1.2", "1.10", "2.0-a", "10",
        ];
        for (at, one) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(is_newer(one, other), at > other_at, "{one} {other}");
            }
        }
        assert!(!is_newer("1.00", "1.0") && !is_newer("1.0", "1.00"));
    }
}
