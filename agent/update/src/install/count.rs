//! What an update would cost. Where root hashes say what the slots hold, that is known without reading them.

use agent_region::Slot;
use agent_region::disk::Disk;
use ota_bundle::{Bundle, Kind, Verified};

use super::work::Work;
use super::{Flow, Holds, InstallError, Places, Source, leaves};

/// What installing would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Bytes to fetch.
    pub fetch: u64,
    /// Bytes to write.
    pub write: u64,
}

/// Counts what [`super::install`] would fetch and write. It changes nothing, and of the bundle it fetches at most the patches of the hashes;
/// what they do not tell is read from both slots. `goes_on` is asked once a segment.
pub fn count(
    disk: &mut impl Disk,
    bundle: &Bundle<Verified>,
    (running, holds): (Slot, Holds),
    source: &mut impl Source,
    goes_on: &mut impl FnMut() -> Flow,
) -> Result<Cost, InstallError> {
    let places = Places::find(disk, bundle.manifest())?;
    let mut nobody = |_| Flow::On;
    let mut work = Work::new(disk, source, places, running, &mut nobody, 0);
    let (leaves, first) = leaves(bundle);
    let root = bundle.segments(Kind::Root);
    if let Some(mut leaves) = leaves {
        let held = work.held(holds)?;
        let mut are_known = held.iter().any(Option::is_some);
        for numbered in (0..).zip(root).skip(first) {
            are_known = are_known && work.make_of_running(Kind::Root, numbered)?;
            if !are_known {
                break;
            }
            leaves.take(numbered.1, work.last());
        }
        if are_known {
            work.compare(&leaves, held, root)?;
        }
    }
    let mut cost = Cost::default();
    let boot = bundle.segments(Kind::Boot).iter();
    let all = root.iter().map(|segment| (Kind::Root, segment));
    for (number, (kind, segment)) in (0..).zip(all.chain(boot.map(|segment| (Kind::Boot, segment))))
    {
        // Nothing vouches for the hashes but their own digests: they are read.
        let is_known = kind == Kind::Root && (number as usize) < first;
        let [in_running, in_target] = if is_known {
            work.known_of(kind, number)
        } else {
            [None, None]
        };
        // The head of the boot slot is destroyed before anything else.
        let is_head = kind == Kind::Boot && segment.place == 0;
        if is_head || !work.has_in(running.other(), in_target, (kind, segment))? {
            cost.write += u64::from(segment.length);
            if !work.has_in(running, in_running, (kind, segment))? {
                cost.fetch += work.price((number, segment));
            }
        }
        if goes_on() == Flow::Stop {
            return Err(InstallError::Stopped);
        }
    }
    Ok(cost)
}
