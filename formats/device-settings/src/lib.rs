//! Settings of one device, as a text on its boot partition: `flash` writes it while it writes the card, a person
//! may write it with any editor, the device reads it at its next start. In: text. Out: settings that are
//! checked, or text. Never touches files.

mod address;
mod claim;
mod name;
mod settings;
mod wi_fi;
mod written;

pub use address::{BadAddress, StaticAddress};
pub use claim::{CLAIM_RANDOM, claim_code};
pub use name::{BadHostName, HostName};
pub use settings::{Connection, DeviceSettings, SettingsError};
pub use wi_fi::{BadCountry, BadWiFi, Country, Hidden, WiFi, WiFiName, is_password};
pub use written::{FILE, SIZE, example, padded};
