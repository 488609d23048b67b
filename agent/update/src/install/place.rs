//! Where a bundle's images go on this disk, and whether it is for this device at all.

use agent_region::Slot;
use agent_region::disk::Disk;
use boot_partition::mbr::{Mbr, SECTOR};
use ota_bundle::{Kind, Manifest};

use super::InstallError;
use crate::boot::{self, SECTOR_BYTES};

/// A bundle is not for this device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another product.
    #[error("the update is for “{found}”, and this device is a “{own}”")]
    Product {
        /// Product of the update.
        found: String,
        /// Product of the device.
        own: String,
    },
    /// Another board.
    #[error("the update is for {}, and this board is {own}", boards.join(", "))]
    Board {
        /// Boards of the update.
        boards: Vec<String>,
        /// This board.
        own: String,
    },
    /// Its kernel would look for another disk.
    #[error(
        "the update is for disks with the signature {found}, and this one has {own}: flash the card once with a newer image"
    )]
    Disk {
        /// Signature in the update.
        found: String,
        /// Signature of this disk.
        own: String,
    },
    /// It does not fit its slot.
    #[error(
        "the update needs {needed} bytes for its {part} slot, and there are {room}: flash the card once with a newer image"
    )]
    Room {
        /// Which part.
        part: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        room: u64,
    },
    /// The disk has no slots.
    #[error("this disk has no two slots: {what}")]
    Layout {
        /// What is missing.
        what: String,
    },
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Name of its product.
    pub product: String,
    /// What its device tree says that it is compatible with (`/proc/device-tree/compatible`).
    pub compatible: Vec<String>,
}

impl Facts {
    /// Checks that the update is for this device.
    pub fn take(&self, manifest: &Manifest) -> Result<(), Misfit> {
        if manifest.product != self.product {
            return Err(Misfit::Product {
                found: manifest.product.clone(),
                own: self.product.clone(),
            });
        }
        if !self
            .compatible
            .iter()
            .any(|own| manifest.boards.contains(own))
        {
            return Err(Misfit::Board {
                boards: manifest.boards.clone(),
                own: self
                    .compatible
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "unknown".into()),
            });
        }
        Ok(())
    }
}

/// Offset and size in bytes.
type Place = (u64, u64);

/// Where the slots lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    boot: [Place; 2],
    root: [Place; 2],
}

impl Places {
    /// Finds the slots.
    pub fn of(disk: &mut impl Disk) -> Result<Self, InstallError> {
        let partitions = boot::partitions(disk).map_err(InstallError::Disk)?;
        let length = disk.length().map_err(InstallError::Disk)?;
        let place = |number: u32| {
            let found = partitions.iter().find(|(other, _)| *other == number);
            let place =
                found.map(|(_, p)| (u64::from(p.first) * SECTOR, u64::from(p.sectors) * SECTOR));
            let place = place.filter(|(offset, size)| offset + size <= length);
            place.ok_or_else(|| Misfit::Layout {
                what: format!("partition {number} is missing"),
            })
        };
        Ok(Self {
            boot: [
                place(Slot::A.boot_partition())?,
                place(Slot::B.boot_partition())?,
            ],
            root: [
                place(Slot::A.root_partition())?,
                place(Slot::B.root_partition())?,
            ],
        })
    }

    /// Finds the slots, and checks that the images of a bundle fit into them.
    pub fn find(disk: &mut impl Disk, manifest: &Manifest) -> Result<Self, InstallError> {
        let mut sector = [0; SECTOR_BYTES];
        disk.read_at(0, &mut sector).map_err(InstallError::Disk)?;
        let table = Mbr::from_sector(&sector).map_err(|error| Misfit::Layout {
            what: error.to_string(),
        })?;
        let own = format!("{:08x}", table.signature);
        if manifest.disk != own {
            return Err(Misfit::Disk {
                found: manifest.disk.clone(),
                own,
            }
            .into());
        }
        let places = Self::of(disk)?;
        for image in &manifest.images {
            let (part, slots) = match image.kind {
                Kind::Root => ("root", places.root),
                Kind::Boot => ("boot", places.boot),
            };
            let room = slots[0].1.min(slots[1].1);
            if image.room > room {
                return Err(Misfit::Room {
                    part,
                    needed: image.room,
                    room,
                }
                .into());
            }
        }
        Ok(places)
    }

    /// Returns where a part of a slot lies on the disk; nothing if it reaches beyond the slot.
    pub fn within(&self, kind: Kind, slot: Slot, offset: u64, length: u32) -> Option<u64> {
        let slots = match kind {
            Kind::Root => &self.root,
            Kind::Boot => &self.boot,
        };
        let (begin, size) = slots[usize::from(slot == Slot::B)];
        let end = offset.checked_add(length.into())?;
        (end <= size).then(|| begin + offset)
    }

    /// Returns where a slot's part begins, and its size in bytes.
    pub const fn part(&self, kind: Kind, slot: Slot) -> (u64, u64) {
        let slots = match kind {
            Kind::Root => &self.root,
            Kind::Boot => &self.boot,
        };
        match slot {
            Slot::A => slots[0],
            Slot::B => slots[1],
        }
    }

    /// Returns where a slot's part begins, in bytes.
    pub const fn offset(&self, kind: Kind, slot: Slot) -> u64 {
        self.part(kind, slot).0
    }
}
