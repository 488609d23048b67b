//! The device's address. In: what an owner wants. Out: a change that takes itself back unless somebody
//! reached the device at the new address.
//!
//! While a change is on trial the device has both addresses, and NetworkManager itself holds the way
//! back ([`manager`]: a checkpoint with a time limit): neither a crash of the agent nor one of its
//! helper can keep it from going. On disk stands the old until the new is confirmed: a restart goes
//! back as well.

pub mod wi_fi;
pub mod plan;
pub mod state;
pub mod manager;
pub mod changes;
pub mod host_name;

pub use changes::{ChangeError, Changes};
pub use host_name::{BadHostName, HostName};
pub use manager::{Manager, NetworkManager};
pub use plan::{BadPlan, Plan};
pub use state::{Interface, NetworkState, Pending};
pub use wi_fi::{Found, Hidden, Join, Security, WiFiName};
