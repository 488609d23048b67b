//! NetworkManager over D-Bus (its interface is described in the package's own introspection files and in
//! `nm-settings-dbus(5)`).

use std::collections::HashMap;
use std::time::Duration;

use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, proxy};

use crate::plan::Plan;
use crate::state::Interface;

/// Settings of a connection: properties by section.
type Settings = HashMap<String, HashMap<String, OwnedVariant>>;

/// `NM_DEVICE_TYPE_ETHERNET` and `NM_DEVICE_TYPE_WIFI`.
const KINDS: [(u32, &str); 2] = [(1, "ethernet"), (2, "wi-fi")];
/// `NM_DEVICE_STATE_ACTIVATED`.
const ACTIVATED: u32 = 100;
/// `NM_SETTINGS_UPDATE2_FLAG_TO_DISK`.
const TO_DISK: u32 = 1;
/// `NM_SETTINGS_UPDATE2_FLAG_IN_MEMORY`: below `/run`, so that a restart forgets it.
const IN_MEMORY: u32 = 2;
/// How long an address may take to be there: others are asked whether they have it.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long others are asked whether they have the address (RFC 5227), in milliseconds.
const ASK_OTHERS: i32 = 1000;

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
    /// Gives an interface the new address beside the old one, for so long. It goes back by itself.
    async fn try_plan(
        &self,
        interface: &str,
        plan: &Plan,
        limit: Duration,
    ) -> Result<WayBack, ManagerError>;
    /// Keeps a plan that was tried, on disk, and takes the old address away.
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
    /// The address did not come.
    #[error("{0} was not given to {1}: another device may have it already")]
    Taken(std::net::Ipv4Addr, String),
}

#[proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
trait Daemon {
    fn get_devices(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    fn checkpoint_create(
        &self,
        devices: &[ObjectPath<'_>],
        rollback_timeout: u32,
        flags: u32,
    ) -> zbus::Result<OwnedObjectPath>;
    fn checkpoint_destroy(&self, checkpoint: &ObjectPath<'_>) -> zbus::Result<()>;
    fn checkpoint_rollback(
        &self,
        checkpoint: &ObjectPath<'_>,
    ) -> zbus::Result<HashMap<String, u32>>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Device",
    default_service = "org.freedesktop.NetworkManager"
)]
trait Device {
    fn reapply(&self, connection: Settings, version: u64, flags: u32) -> zbus::Result<()>;
    #[zbus(property)]
    fn interface(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn device_type(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn hw_address(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn active_connection(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn ip4_config(&self) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Connection.Active",
    default_service = "org.freedesktop.NetworkManager"
)]
trait Active {
    #[zbus(property)]
    fn connection(&self) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Settings.Connection",
    default_service = "org.freedesktop.NetworkManager"
)]
trait Profile {
    fn get_settings(&self) -> zbus::Result<Settings>;
    fn delete(&self) -> zbus::Result<()>;
    fn update2(
        &self,
        settings: Settings,
        flags: u32,
        arguments: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<HashMap<String, OwnedVariant>>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.IP4Config",
    default_service = "org.freedesktop.NetworkManager"
)]
trait Ip4Config {
    #[zbus(property)]
    fn address_data(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    #[zbus(property)]
    fn gateway(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn nameserver_data(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
}

/// The manager of this device. It is reached anew for each request: it may be restarted.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkManager;

/// What a device has now.
#[derive(Debug, Default)]
struct Now {
    addresses: Vec<(String, u32)>,
    gateway: Option<String>,
    servers: Vec<String>,
}

impl Manager for NetworkManager {
    async fn interfaces(&self) -> Result<Vec<Interface>, ManagerError> {
        let bus = Connection::system().await?;
        let mut interfaces = Vec::new();
        for path in DaemonProxy::new(&bus).await?.get_devices().await? {
            let device = device(&bus, path).await?;
            let kind = device.device_type().await?;
            let Some((_, kind)) = KINDS.iter().find(|(number, _)| *number == kind) else {
                continue;
            };
            let now = now(&bus, &device).await.unwrap_or_default();
            let settings = match profile(&bus, &device).await {
                Ok(profile) => profile.get_settings().await?,
                Err(_) => Settings::new(),
            };
            let method = settings.get("ipv4").and_then(|ipv4| ipv4.get("method"));
            let is_manual = method.is_some_and(|method| text(method) == "manual");
            let addresses = now.addresses.iter();
            interfaces.push(Interface {
                name: device.interface().await?,
                kind: (*kind).to_owned(),
                card: device.hw_address().await?,
                is_connected: device.state().await? == ACTIVATED,
                method: if is_manual { "manual" } else { "automatic" }.to_owned(),
                addresses: addresses.map(|(ip, bits)| format!("{ip}/{bits}")).collect(),
                gateway: now.gateway,
                servers: now.servers,
            });
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
        let daemon = DaemonProxy::new(&bus).await?;
        let (path, device) = find(&bus, interface).await?;
        let profile = profile(&bus, &device).await?;
        let old = profile.get_settings().await?;
        let before = now(&bus, &device).await?;
        let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
        let way_back = daemon
            .checkpoint_create(&[path.as_ref()], seconds, 0)
            .await?;
        let tried = async {
            let trial = on_trial(old, plan, &before)?;
            profile.update2(trial, IN_MEMORY, HashMap::new()).await?;
            device.reapply(Settings::new(), 0, 0).await?;
            match plan.address() {
                Some(address) => arrives(&bus, &device, address, interface).await,
                None => Ok(()),
            }
        };
        if let Err(error) = tried.await {
            // It also goes back by itself, later.
            drop(daemon.checkpoint_rollback(&way_back.as_ref()).await);
            return Err(error);
        }
        Ok(way_back.as_str().to_owned())
    }

    async fn keep(&self, interface: &str, plan: &Plan, way_back: &str) -> Result<(), ManagerError> {
        let bus = Connection::system().await?;
        let (_, device) = find(&bus, interface).await?;
        let profile = profile(&bus, &device).await?;
        let settings = for_good(profile.get_settings().await?, plan)?;
        profile.update2(settings, TO_DISK, HashMap::new()).await?;
        device.reapply(Settings::new(), 0, 0).await?;
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

#[proxy(
    interface = "org.freedesktop.NetworkManager.Settings",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager/Settings"
)]
trait Profiles {
    fn list_connections(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
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

async fn device(bus: &Connection, path: OwnedObjectPath) -> zbus::Result<DeviceProxy<'static>> {
    DeviceProxy::builder(bus).path(path).build().await
}

/// Finds a connected device by its interface.
async fn find(
    bus: &Connection,
    interface: &str,
) -> Result<(OwnedObjectPath, DeviceProxy<'static>), ManagerError> {
    for path in DaemonProxy::new(bus).await?.get_devices().await? {
        let device = device(bus, path.clone()).await?;
        if device.interface().await? == interface && device.state().await? == ACTIVATED {
            return Ok((path, device));
        }
    }
    Err(ManagerError::NoInterface(interface.to_owned()))
}

/// Finds the settings that a device runs with.
async fn profile(
    bus: &Connection,
    device: &DeviceProxy<'_>,
) -> Result<ProfileProxy<'static>, ManagerError> {
    let active = device.active_connection().await?;
    let active = ActiveProxy::builder(bus).path(active).build().await?;
    let path = active.connection().await?;
    Ok(ProfileProxy::builder(bus).path(path).build().await?)
}

async fn now(bus: &Connection, device: &DeviceProxy<'_>) -> Result<Now, ManagerError> {
    let path = device.ip4_config().await?;
    let config = Ip4ConfigProxy::builder(bus).path(path).build().await?;
    let number = |value: &OwnedVariant| u32::try_from(value).unwrap_or(0);
    let addresses = config.address_data().await?;
    let addresses = addresses.iter().filter_map(|entry| {
        let (address, prefix) = (entry.get("address")?, entry.get("prefix")?);
        Some((text(address), number(prefix)))
    });
    let servers = config.nameserver_data().await?;
    let servers = servers.iter().filter_map(|entry| entry.get("address"));
    let gateway = config.gateway().await?;
    Ok(Now {
        addresses: addresses.collect(),
        servers: servers.map(text).collect(),
        gateway: Some(gateway).filter(|gateway| !gateway.is_empty()),
    })
}

/// Waits until an address is there.
async fn arrives(
    bus: &Connection,
    device: &DeviceProxy<'_>,
    address: std::net::Ipv4Addr,
    interface: &str,
) -> Result<(), ManagerError> {
    let wanted = address.to_string();
    let until = tokio::time::Instant::now() + ARRIVAL;
    while tokio::time::Instant::now() < until {
        let now = now(bus, device).await.unwrap_or_default();
        if now.addresses.iter().any(|(address, _)| *address == wanted) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(ManagerError::Taken(address, interface.to_owned()))
}

/// Returns settings with which both the old and the new address work.
fn on_trial(mut settings: Settings, plan: &Plan, now: &Now) -> Result<Settings, ManagerError> {
    let ipv4 = section(&mut settings);
    let keeps = |(address, prefix): &(String, u32)| entry(address, *prefix);
    match plan {
        Plan::Automatic {} => {
            // What is there stays beside what the network's server gives.
            put(ipv4, "method", "auto")?;
            let old = now.addresses.iter().map(keeps);
            put(ipv4, "address-data", old.collect::<Vec<_>>())?;
        }
        Plan::Manual {
            address, prefix, ..
        } => {
            let own = address.to_string();
            // A lease goes on by itself while the address stays as if given by hand. The first address
            // counts as the main one: the old one stays that, or NetworkManager takes it away for a
            // moment.
            put(ipv4, "method", "manual")?;
            let old = now.addresses.iter().filter(|(old, _)| *old != own);
            let mut addresses: Vec<_> = old.map(keeps).collect();
            addresses.push(entry(&own, u32::from(*prefix)));
            put(ipv4, "address-data", addresses)?;
            route(ipv4, plan)?;
        }
    }
    put(ipv4, "dad-timeout", ASK_OTHERS)?;
    Ok(settings)
}

/// Returns settings with the new address alone.
fn for_good(mut settings: Settings, plan: &Plan) -> Result<Settings, ManagerError> {
    let ipv4 = section(&mut settings);
    match plan {
        Plan::Automatic {} => {
            put(ipv4, "method", "auto")?;
            ipv4.remove("address-data");
            ipv4.remove("gateway");
            ipv4.remove("dns-data");
        }
        Plan::Manual {
            address, prefix, ..
        } => {
            put(ipv4, "method", "manual")?;
            let own = entry(&address.to_string(), u32::from(*prefix));
            put(ipv4, "address-data", vec![own])?;
            route(ipv4, plan)?;
        }
    }
    ipv4.remove("dad-timeout");
    Ok(settings)
}

/// Sets router and name servers of a plan.
fn route(ipv4: &mut HashMap<String, OwnedVariant>, plan: &Plan) -> Result<(), ManagerError> {
    let Plan::Manual {
        gateway, servers, ..
    } = plan
    else {
        return Ok(());
    };
    ipv4.remove("gateway");
    if let Some(gateway) = gateway {
        put(ipv4, "gateway", gateway.to_string())?;
    }
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    put(ipv4, "dns-data", servers)
}

/// Returns the section of IPv4, without the old forms of what is set here, which would count instead.
fn section(settings: &mut Settings) -> &mut HashMap<String, OwnedVariant> {
    if let Some(ipv6) = settings.get_mut("ipv6") {
        for old in ["addresses", "routes", "dns"] {
            ipv6.remove(old);
        }
    }
    let ipv4 = settings.entry("ipv4".to_owned()).or_default();
    for old in ["addresses", "routes", "dns"] {
        ipv4.remove(old);
    }
    ipv4
}

fn entry(address: &str, prefix: u32) -> HashMap<String, Variant<'static>> {
    HashMap::from([
        ("address".to_owned(), Variant::from(address.to_owned())),
        ("prefix".to_owned(), Variant::from(prefix)),
    ])
}

fn put<'a>(
    section: &mut HashMap<String, OwnedVariant>,
    name: &str,
    value: impl Into<Variant<'a>>,
) -> Result<(), ManagerError> {
    let value = OwnedVariant::try_from(value.into())?;
    section.insert(name.to_owned(), value);
    Ok(())
}

fn text(value: &OwnedVariant) -> String {
    <&str>::try_from(value).unwrap_or_default().to_owned()
}
