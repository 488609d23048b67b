//! The device's name on the network, set through systemd-hostnamed (`org.freedesktop.hostname1(5)`).

use zbus::{Connection, proxy};

pub use device_settings::{BadHostName, HostName};

#[proxy(
    interface = "org.freedesktop.hostname1",
    default_service = "org.freedesktop.hostname1",
    default_path = "/org/freedesktop/hostname1"
)]
trait Names {
    fn set_static_hostname(&self, name: &str, interactive: bool) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Services {
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<zbus::OwnedObjectPath>;
}

/// Sets the name, and has it announced anew.
pub async fn set(name: &HostName) -> zbus::Result<()> {
    let bus = Connection::system().await?;
    let names = NamesProxy::new(&bus).await?;
    names.set_static_hostname(name.as_str(), false).await?;
    // Avahi reads the name at its start. Where it is not installed nothing is announced.
    let services = ServicesProxy::new(&bus).await?;
    drop(
        services
            .try_restart_unit("avahi-daemon.service", "replace")
            .await,
    );
    Ok(())
}
