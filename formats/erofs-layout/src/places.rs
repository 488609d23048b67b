//! Where each group of files goes. A group's place hangs on its name and hardly on other groups: each has room to grow, and in the
//! gaps between them a group that grows beyond its room pushes few others.

use std::collections::BTreeMap;

use content_digest::Sha256Digest;

/// Sizes are rounded up to a sixteenth of the power of two below them: a size that changes by a per cent mostly stays the same.
const STEPS: u32 = 4;
/// Room to grow that a group has at least, in parts of a hundred of its size.
const ROOM: u64 = 2;
/// Gaps between small groups at least, in parts of a hundred of their sizes.
const GAPS: u64 = 6;
/// Groups of so many blocks (4 MiB) lie behind all others, the largest last: few move when one grows.
const LARGE: u64 = 1024;

/// Where groups go, in blocks from the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// The place of each group.
    pub(super) groups: BTreeMap<String, Room>,
    /// Where the last one ends.
    pub(super) end: u64,
}

/// A group's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// First block.
    pub(super) first: u64,
    /// How many it may have.
    pub(super) count: u64,
}

impl Places {
    /// Finds places for groups of so many blocks.
    pub(super) fn of(sizes: &BTreeMap<String, u64>) -> Self {
        let (large, small): (Vec<_>, Vec<_>) = sizes
            .iter()
            .filter(|&(_, &size)| size > 0)
            .map(|(name, &size)| (name, rounded(size + size * ROOM / 100 + 1)))
            .partition(|&(_, room)| room >= LARGE);
        let total: u64 = small.iter().map(|(_, room)| room).sum();
        let span = rounded(total + total * GAPS / 100);
        let mut groups = BTreeMap::new();
        for (name, first, count) in spread(small, span) {
            groups.insert(name.clone(), Room { first, count });
        }
        let mut large = large;
        large.sort_by_key(|&(name, room)| (room.ilog2(), name));
        let mut end = span;
        for (name, count) in large {
            groups.insert(name.clone(), Room { first: end, count });
            end += count;
        }
        Self { groups, end }
    }
}

/// Puts groups where their names say, or as near behind that as those before them leave room.
fn spread(groups: Vec<(&String, u64)>, span: u64) -> Vec<(&String, u64, u64)> {
    let mut places: Vec<_> = groups
        .into_iter()
        .map(|(name, room)| (name, wish(name, span), room))
        .collect();
    places.sort_by_key(|&(name, wish, _)| (wish, name));
    let mut end = 0;
    for (_, first, room) in &mut places {
        *first = end.max(*first);
        end = *first + *room;
    }
    // What reaches beyond the end pushes back.
    let mut end = span;
    for (_, first, room) in places.iter_mut().rev() {
        *first = (*first).min(end - *room);
        end = *first;
    }
    places
}

fn wish(name: &str, span: u64) -> u64 {
    let digest = Sha256Digest::of(name.as_bytes());
    let bytes = digest.as_bytes()[..8].try_into().expect("eight bytes");
    u64::from_le_bytes(bytes) % span.max(1)
}

pub(super) const fn rounded(size: u64) -> u64 {
    match size.checked_ilog2() {
        Some(power) if power > STEPS => size.next_multiple_of(1 << (power - STEPS)),
        _ => size,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes() -> impl Strategy<Value = BTreeMap<String, u64>> {
        prop::collection::btree_map("[a-z]{1,8}", 0..5000_u64, 0..80)
    }

    proptest! {
        #[test]
        fn groups_have_room_and_do_not_overlap(sizes in sizes()) {
            let places = Places::of(&sizes);
            let mut rooms: Vec<_> = places.groups.iter().collect();
            rooms.sort_by_key(|(_, room)| room.first);
            let mut end = 0;
            for (name, room) in rooms {
                prop_assert!(room.first >= end && room.count >= sizes[name]);
                end = room.first + room.count;
            }
            prop_assert!(end <= places.end);
            prop_assert_eq!(places.groups.len(), sizes.values().filter(|&&size| size > 0).count());
            // Gaps and rooms cost at most a fifth, but for groups of a few blocks.
            let total: u64 = sizes.values().sum();
            prop_assert!(places.end <= total * 6 / 5 + 2 * 80 + 2, "{} for {total}", places.end);
        }

        #[test]
        fn who_grows_within_its_room_moves_nobody(sizes in sizes(), which in any::<prop::sample::Index>()) {
            let places = Places::of(&sizes);
            prop_assume!(!places.groups.is_empty());
            let (name, room) = places.groups.iter().nth(which.index(places.groups.len())).expect("an index in it");
            let mut grown = sizes;
            let size = grown[name] + 1;
            prop_assume!(rounded(size + size * ROOM / 100 + 1) == room.count);
            grown.insert(name.clone(), size);
            prop_assert_eq!(Places::of(&grown), places);
        }
    }
}
