//! NetworkManager over D-Bus (its interface is described in the package's own introspection files and in
//! `nm-settings-dbus(5)`).

mod bus;
mod address;
mod wi_fi;

use std::time::Duration;

use zbus::{Connection, ObjectPath, OwnedObjectPath};

pub use self::wi_fi::{forget_network, networks};

use self::bus::{
    ACTIVATED, DaemonProxy, ProfileProxy, ProfilesProxy, Settings, device, now, profile, text,
};
use crate::plan::Plan;
use crate::state::Interface;

/// `NM_DEVICE_TYPE_ETHERNET` and `NM_DEVICE_TYPE_WIFI`.
const KINDS: [(u32, &str); 2] = [(1, "ethernet"), (2, "wi-fi")];
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// The way back of a change: a checkpoint's object path.
pub type WayBack = String;

/// What manages the network.
#[expect(
    async_fn_in_trait,
    reason = "used in this workspace only, on one runtime"
)]
pub trait Manager {
    /// Reads the interfaces.
    async fn interfaces(&self) -> Result<Vec<Interface>, ManagerError>;
    /// Gives an interface the new address beside the old one, or lets it join a network, for so long. It
    /// goes back by itself.
    async fn try_plan(
        &self,
        interface: &str,
        plan: &Plan,
        limit: Duration,
    ) -> Result<WayBack, ManagerError>;
    /// Keeps a plan that was tried, on disk; an old address goes.
    async fn keep(&self, interface: &str, plan: &Plan, way_back: &str) -> Result<(), ManagerError>;
    /// Goes back now.
    async fn go_back(&self, way_back: &str) -> Result<(), ManagerError>;
}

/// The network cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// NetworkManager cannot be reached, or refused.
    #[error("NetworkManager did not do it")]
    Bus(#[from] zbus::Error),
    /// There is no such interface.
    #[error("there is no connected interface “{0}”")]
    NoInterface(String),
    /// There is no such radio.
    #[error("there is no Wi-Fi interface “{0}”")]
    NoRadio(String),
    /// The address did not come.
    #[error("{0} was not given to {1}: another device may have it already")]
    Taken(std::net::Ipv4Addr, String),
    /// A network was not joined.
    #[error("“{name}” was not joined: {why}")]
    NotJoined {
        /// Name of the network.
        name: String,
        /// What to do about it.
        why: String,
    },
}

/// The manager of this device. It is reached anew for each request: it may be restarted.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkManager;

impl Manager for NetworkManager {
    async fn interfaces(&self) -> Result<Vec<Interface>, ManagerError> {
        let bus = Connection::system().await?;
        let mut interfaces = Vec::new();
        for path in DaemonProxy::new(&bus).await?.get_devices().await? {
            // One that goes away meanwhile is left out.
            interfaces.extend(read(&bus, path).await.ok().flatten());
        }
        Ok(interfaces)
    }

    async fn try_plan(
        &self,
        interface: &str,
        plan: &Plan,
        limit: Duration,
    ) -> Result<WayBack, ManagerError> {
        let bus = Connection::system().await?;
        match plan {
            Plan::WiFi(join) => wi_fi::join(&bus, interface, join, limit).await,
            Plan::Automatic {} | Plan::Manual { .. } => {
                address::give(&bus, interface, plan, limit).await
            }
        }
    }

    async fn keep(&self, interface: &str, plan: &Plan, way_back: &str) -> Result<(), ManagerError> {
        let bus = Connection::system().await?;
        match plan {
            Plan::WiFi(join) => wi_fi::keep(&bus, interface, &join.name).await?,
            Plan::Automatic {} | Plan::Manual { .. } => {
                address::keep(&bus, interface, plan).await?;
            }
        }
        let daemon = DaemonProxy::new(&bus).await?;
        let way_back = ObjectPath::try_from(way_back)?;
        Ok(daemon.checkpoint_destroy(&way_back).await?)
    }

    async fn go_back(&self, way_back: &str) -> Result<(), ManagerError> {
        let bus = Connection::system().await?;
        let way_back = ObjectPath::try_from(way_back)?;
        let daemon = DaemonProxy::new(&bus).await?;
        daemon.checkpoint_rollback(&way_back).await?;
        Ok(())
    }
}

/// Reads a device, if it is one with a cable or an antenna.
async fn read(bus: &Connection, path: OwnedObjectPath) -> Result<Option<Interface>, ManagerError> {
    let device = device(bus, path).await?;
    let kind = device.device_type().await?;
    let Some((_, kind)) = KINDS.iter().find(|(number, _)| *number == kind) else {
        return Ok(None);
    };
    // One that is not connected has neither.
    let now = now(bus, &device).await.unwrap_or_default();
    let settings = match profile(bus, &device).await {
        Ok(profile) => profile.get_settings().await.unwrap_or_default(),
        Err(_) => Settings::new(),
    };
    let is_connected = device.state().await? == ACTIVATED;
    let method = settings.get("ipv4").and_then(|ipv4| ipv4.get("method"));
    let is_manual = method.is_some_and(|method| text(method) == "manual");
    let addresses = now.addresses.iter();
    Ok(Some(Interface {
        name: device.interface().await?,
        kind: (*kind).to_owned(),
        card: device.hw_address().await?,
        is_connected,
        wi_fi: wi_fi::name(&settings).filter(|_| is_connected),
        method: if is_manual { "manual" } else { "automatic" }.to_owned(),
        addresses: addresses.map(|(ip, bits)| format!("{ip}/{bits}")).collect(),
        gateway: now.gateway,
        servers: now.servers,
    }))
}

/// Forgets all that was set of the network: each interface is as on a new device.
pub async fn forget() -> Result<(), ManagerError> {
    let bus = Connection::system().await?;
    for path in ProfilesProxy::new(&bus).await?.list_connections().await? {
        let profile = ProfileProxy::builder(&bus).path(path).build().await?;
        // One that is no file, such as that of the loopback, cannot be deleted and need not be.
        drop(profile.delete().await);
    }
    Ok(())
}
