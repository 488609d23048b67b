//! A channel of updates as static files: signed metadata, and bundles. In: keys, a bundle, a folder. Out: files that any web
//! server can serve, the newest metadata last. Never talks to a device, and is told the time.
//!
//! ```text
//! metadata/1.root.json …  N.targets.json  N.snapshot.json  timestamp.json
//! bundles/NAME-VERSION.upd
//! deltas/NAME-VERSION.from-OLDER.dlt
//! ```

mod change;
mod channel;
mod deltas;
mod keys;
mod publish;
mod roots;
mod signers;
mod ssh_agent;

pub use change::Change;
pub use channel::{Channel, ChannelError, Contents};
pub use keys::{Keys, KeysError};
pub use publish::Published;
pub use roots::Next;

#[cfg(test)]
mod tests;
