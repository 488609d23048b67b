//! What can be installed, and who says so: a channel, or the orders of a fleet server.

use agent_update::channel::Offer;
use agent_update::fleet::{Order, When};
use agent_update::protocol::Offered;
use content_digest::Sha256Digest;

/// An order with what its bundle says of itself.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub(super) order: Order,
    pub(super) manifest: Sha256Digest,
    pub(super) version: String,
    pub(super) created: u64,
    pub(super) notes: Option<String>,
}

/// What can be installed.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Channel(Offer),
    Fleet(Ordered),
}

impl Found {
    pub(super) const fn manifest(&self) -> Sha256Digest {
        match self {
            Self::Channel(offer) => offer.manifest,
            Self::Fleet(ordered) => ordered.manifest,
        }
    }

    pub(super) fn version(&self) -> &str {
        match self {
            Self::Channel(offer) => &offer.said.version,
            Self::Fleet(ordered) => &ordered.version,
        }
    }

    /// Whether the device may take it by itself, if its owner chose so.
    pub(super) const fn is_due(&self) -> bool {
        match self {
            Self::Channel(offer) => offer.is_due,
            Self::Fleet(ordered) => {
                !ordered.order.asks_owner && !matches!(ordered.order.when, When::Later)
            }
        }
    }

    /// Whether nobody is asked.
    pub(super) const fn is_forced(&self) -> bool {
        matches!(self, Self::Fleet(ordered) if matches!(ordered.order.when, When::Now))
    }

    /// What whoever looks is shown.
    pub(super) fn offered(&self) -> Offered {
        match self {
            Self::Channel(offer) => Offered {
                version: offer.said.version.clone(),
                published: offer.said.published,
                notes: offer.said.notes.clone(),
                length: offer.said.length,
                is_due: offer.is_due,
                is_retreat: offer.is_retreat,
            },
            Self::Fleet(ordered) => Offered {
                version: ordered.version.clone(),
                published: ordered.created,
                notes: ordered.notes.clone(),
                length: ordered.order.length,
                is_due: self.is_due(),
                is_retreat: false,
            },
        }
    }
}
