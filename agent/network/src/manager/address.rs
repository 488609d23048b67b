//! Settings of an interface's IPv4 address: on trial beside the old one, then alone.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use zbus::{Connection, OwnedVariant, Variant};

use super::bus::{
    DaemonProxy, DeviceProxy, IN_MEMORY, Now, Settings, TO_DISK, find, now, profile, put,
};
use super::{LOOK, ManagerError, WayBack};
use crate::plan::Plan;

/// How long an address may take to be there: others are asked whether they have it.
const ARRIVAL: Duration = Duration::from_secs(10);

/// How long others are asked whether they have the address (RFC 5227), in milliseconds.
const ASK_OTHERS: i32 = 1000;

/// Gives a connected interface the new address beside the old one.
pub(super) async fn give(
    bus: &Connection,
    interface: &str,
    plan: &Plan,
    limit: Duration,
) -> Result<WayBack, ManagerError> {
    let daemon = DaemonProxy::new(bus).await?;
    let (path, device) = find(bus, interface).await?;
    let profile = profile(bus, &device).await?;
    let old = profile.get_settings().await?;
    let before = now(bus, &device).await?;
    let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
    let way_back = daemon
        .checkpoint_create(&[path.as_ref()], seconds, 0)
        .await?;
    let tried = async {
        let trial = on_trial(old, plan, &before)?;
        profile.update2(trial, IN_MEMORY, HashMap::new()).await?;
        device.reapply(Settings::new(), 0, 0).await?;
        match plan.address() {
            Some(address) => arrives(bus, &device, address, interface).await,
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

/// Leaves the interface with the new address alone, on disk.
pub(super) async fn keep(
    bus: &Connection,
    interface: &str,
    plan: &Plan,
) -> Result<(), ManagerError> {
    let (_, device) = find(bus, interface).await?;
    let profile = profile(bus, &device).await?;
    let settings = for_good(profile.get_settings().await?, plan)?;
    profile.update2(settings, TO_DISK, HashMap::new()).await?;
    Ok(device.reapply(Settings::new(), 0, 0).await?)
}

/// Waits until an address is there.
async fn arrives(
    bus: &Connection,
    device: &DeviceProxy<'_>,
    address: Ipv4Addr,
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
        Plan::WiFi(_) => {}
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
        Plan::WiFi(_) => {}
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
