//! `NetworkManager`'s objects on D-Bus, as far as they are used, and the way to them.

use std::collections::HashMap;

use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, proxy};

use super::ManagerError;

/// Settings of a connection: properties by section.
pub(super) type Settings = HashMap<String, HashMap<String, OwnedVariant>>;

/// `NM_DEVICE_STATE_ACTIVATED`.
pub(super) const ACTIVATED: u32 = 100;
/// `NM_SETTINGS_UPDATE2_FLAG_TO_DISK`.
pub(super) const TO_DISK: u32 = 1;
/// `NM_SETTINGS_UPDATE2_FLAG_IN_MEMORY`: below `/run`, so that a restart forgets it.
pub(super) const IN_MEMORY: u32 = 2;

#[proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
pub(super) trait Daemon {
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
    fn add_and_activate_connection2(
        &self,
        connection: Settings,
        device: &ObjectPath<'_>,
        specific_object: &ObjectPath<'_>,
        options: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<(
        OwnedObjectPath,
        OwnedObjectPath,
        HashMap<String, OwnedVariant>,
    )>;
    #[zbus(property)]
    fn set_wireless_enabled(&self, on: bool) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Device",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Device {
    fn reapply(&self, connection: Settings, version: u64, flags: u32) -> zbus::Result<()>;
    #[zbus(property)]
    fn interface(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn device_type(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn hw_address(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    #[zbus(signal, name = "StateChanged")]
    fn went(&self, new: u32, old: u32, reason: u32) -> zbus::Result<()>;
    #[zbus(property)]
    fn active_connection(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn ip4_config(&self) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Connection.Active",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Active {
    #[zbus(property)]
    fn connection(&self) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Settings.Connection",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Profile {
    fn get_settings(&self) -> zbus::Result<Settings>;
    fn get_secrets(&self, section: &str) -> zbus::Result<Settings>;
    fn save(&self) -> zbus::Result<()>;
    fn delete(&self) -> zbus::Result<()>;
    fn update2(
        &self,
        settings: Settings,
        flags: u32,
        arguments: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<HashMap<String, OwnedVariant>>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Device.Wireless",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Radio {
    fn request_scan(&self, options: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;
    fn get_all_access_points(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    #[zbus(property)]
    fn last_scan(&self) -> zbus::Result<i64>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.AccessPoint",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait AccessPoint {
    #[zbus(property)]
    fn ssid(&self) -> zbus::Result<Vec<u8>>;
    #[zbus(property)]
    fn strength(&self) -> zbus::Result<u8>;
    #[zbus(property)]
    fn flags(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn wpa_flags(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn rsn_flags(&self) -> zbus::Result<u32>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.IP4Config",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Ip4Config {
    #[zbus(property)]
    fn address_data(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    #[zbus(property)]
    fn gateway(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn nameserver_data(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager.Settings",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager/Settings"
)]
pub(super) trait Profiles {
    fn list_connections(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}

/// What a device has now.
#[derive(Debug, Default)]
pub(super) struct Now {
    pub(super) addresses: Vec<(String, u32)>,
    pub(super) gateway: Option<String>,
    pub(super) servers: Vec<String>,
}

pub(super) async fn device(
    bus: &Connection,
    path: OwnedObjectPath,
) -> zbus::Result<DeviceProxy<'static>> {
    DeviceProxy::builder(bus).path(path).build().await
}

/// Finds a connected device by its interface.
pub(super) async fn find(
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
pub(super) async fn profile(
    bus: &Connection,
    device: &DeviceProxy<'_>,
) -> Result<ProfileProxy<'static>, ManagerError> {
    let active = device.active_connection().await?;
    let active = ActiveProxy::builder(bus).path(active).build().await?;
    let path = active.connection().await?;
    Ok(ProfileProxy::builder(bus).path(path).build().await?)
}

pub(super) async fn now(bus: &Connection, device: &DeviceProxy<'_>) -> Result<Now, ManagerError> {
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

pub(super) fn put<'a>(
    section: &mut HashMap<String, OwnedVariant>,
    name: &str,
    value: impl Into<Variant<'a>>,
) -> Result<(), ManagerError> {
    let value = OwnedVariant::try_from(value.into())?;
    section.insert(name.to_owned(), value);
    Ok(())
}

pub(super) fn text(value: &OwnedVariant) -> String {
    <&str>::try_from(value).unwrap_or_default().to_owned()
}
