//! Wi-Fi by `NetworkManager`. A network is joined with a profile in memory alone, so that a restart of the
//! device forgets it; a checkpoint leads back to what was joined before.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use super::bus::{
    ACTIVATED, AccessPointProxy, DaemonProxy, DeviceProxy, ProfileProxy, ProfilesProxy, RadioProxy,
    Settings, device, profile, put, text,
};
use super::{LOOK, ManagerError, WayBack};
use crate::wi_fi::{Found, Join, Security, WiFiName};

/// `NM_DEVICE_TYPE_WIFI`.
const RADIO: u32 = 2;
/// `NM_CHECKPOINT_CREATE_FLAG_DELETE_NEW_CONNECTIONS`: going back forgets the new profile as well.
const FORGET_NEW: u32 = 2;
/// `NM_DEVICE_STATE_UNAVAILABLE`: the radio is off, or has not come up yet.
const UNAVAILABLE: u32 = 20;
/// `NM_DEVICE_STATE_DISCONNECTED`.
const DISCONNECTED: u32 = 30;
/// `NM_DEVICE_STATE_PREPARE`: joining begins.
const PREPARE: u32 = 40;
/// `NM_DEVICE_STATE_FAILED`.
const FAILED: u32 = 120;
/// How long a search may take: all channels of both bands.
const SEARCH: Duration = Duration::from_secs(12);
/// How long it may take to be in a network with an address: `NetworkManager`'s own limits are 25 s for
/// the first and 45 s for the second.
const JOINING: Duration = Duration::from_secs(75);
/// How long a radio may take to come up after it was switched on.
const RADIO_ON: Duration = Duration::from_secs(10);
/// Sections of a profile.
const WIRELESS: &str = "802-11-wireless";
const SECURITY: &str = "802-11-wireless-security";

/// Returns the networks in reach, the strongest first.
pub async fn networks(interface: &str) -> Result<Vec<Found>, ManagerError> {
    let bus = Connection::system().await?;
    let (path, _) = radio(&bus, interface).await?;
    search(&bus, &path).await?;
    in_reach(&bus, &path).await
}

/// Forgets a network and its password.
pub async fn forget_network(name: &WiFiName) -> Result<(), ManagerError> {
    let bus = Connection::system().await?;
    for (_, profile) in known(&bus, name).await? {
        profile.delete().await?;
    }
    Ok(())
}

/// Joins a network.
pub(super) async fn join(
    bus: &Connection,
    interface: &str,
    join: &Join,
    limit: Duration,
) -> Result<WayBack, ManagerError> {
    let daemon = DaemonProxy::new(bus).await?;
    let (path, device) = radio(bus, interface).await?;
    let not_joined = |why: &str| ManagerError::NotJoined {
        name: join.name.to_string(),
        why: why.to_owned(),
    };
    let mut found = in_reach(bus, &path).await?.into_iter();
    let mut found = found.find(|one| one.name == join.name);
    if found.is_none() {
        search(bus, &path).await?;
        let mut again = in_reach(bus, &path).await?.into_iter();
        found = again.find(|one| one.name == join.name);
    }
    let security = match (&found, join.is_hidden) {
        (Some(found), _) => found.security,
        (None, true) if join.password.is_some() => Security::Password,
        (None, true) => Security::Open,
        (None, false) => return Err(not_joined("there is no such network in reach")),
    };
    if !security.is_supported() {
        return Err(not_joined("its kind of security is not supported"));
    }
    let settings = new_profile(bus, join, security).await?;
    let settings = settings.ok_or_else(|| not_joined("it needs a password"))?;
    let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
    let way_back = daemon
        .checkpoint_create(&[path.as_ref()], seconds, FORGET_NEW)
        .await?;
    let tried = async {
        let options = HashMap::from([("persist", Variant::from("memory"))]);
        let any = ObjectPath::try_from("/")?;
        // Listened to before it begins, or the beginning is missed.
        let states = device.receive_went().await?.filter_map(|signal| {
            let said = signal.args().ok();
            std::future::ready(said.map(|said| (said.new, said.reason)))
        });
        daemon
            .add_and_activate_connection2(settings, &path.as_ref(), &any, options)
            .await?;
        let arrived = arrives(pin!(states), JOINING.min(limit)).await;
        arrived.map_err(not_joined)
    };
    let Err(error) = tried.await else {
        return Ok(way_back.as_str().to_owned());
    };
    // It also goes back by itself, later.
    drop(daemon.checkpoint_rollback(&way_back.as_ref()).await);
    Err(error)
}

/// Keeps the network that was joined, on disk; older profiles of it go.
pub(super) async fn keep(
    bus: &Connection,
    interface: &str,
    name: &WiFiName,
) -> Result<(), ManagerError> {
    let (_, device) = radio(bus, interface).await?;
    let kept = profile(bus, &device).await?;
    kept.save().await?;
    for (path, old) in known(bus, name).await? {
        if path.as_str() != kept.inner().path().as_str() {
            old.delete().await?;
        }
    }
    Ok(())
}

/// Returns the name of the network that a profile joins. One that makes a network joins none.
pub(super) fn name(settings: &Settings) -> Option<WiFiName> {
    let wireless = settings.get(WIRELESS)?;
    if wireless.get("mode").is_some_and(|mode| text(mode) == "ap") {
        return None;
    }
    let ssid = wireless.get("ssid")?;
    let bytes: Vec<u8> = ssid.try_clone().ok()?.try_into().ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}

/// Finds a radio and switches it on.
async fn radio(
    bus: &Connection,
    interface: &str,
) -> Result<(OwnedObjectPath, DeviceProxy<'static>), ManagerError> {
    let daemon = DaemonProxy::new(bus).await?;
    for path in daemon.get_devices().await? {
        let device = device(bus, path.clone()).await?;
        if device.interface().await? != interface || device.device_type().await? != RADIO {
            continue;
        }
        if device.state().await? <= UNAVAILABLE {
            daemon.set_wireless_enabled(true).await?;
            let until = Instant::now() + RADIO_ON;
            while device.state().await? <= UNAVAILABLE && Instant::now() < until {
                tokio::time::sleep(LOOK).await;
            }
        }
        return Ok((path, device));
    }
    Err(ManagerError::NoRadio(interface.to_owned()))
}

/// Has the radio look around, and waits until it did.
async fn search(bus: &Connection, path: &OwnedObjectPath) -> Result<(), ManagerError> {
    let radio = RadioProxy::builder(bus).path(path).build().await?;
    let before = radio.last_scan().await?;
    if radio.request_scan(HashMap::new()).await.is_err() {
        // It looked just now.
        return Ok(());
    }
    let until = Instant::now() + SEARCH;
    while radio.last_scan().await? == before && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Reads what was found, one entry a network.
async fn in_reach(bus: &Connection, path: &OwnedObjectPath) -> Result<Vec<Found>, ManagerError> {
    let radio = RadioProxy::builder(bus).path(path).build().await?;
    let device = device(bus, path.clone()).await?;
    let joined = match profile(bus, &device).await {
        Ok(profile) => name(&profile.get_settings().await?),
        Err(_) => None,
    };
    let known = profiles(bus).await?;
    let mut found = BTreeMap::<WiFiName, Found>::new();
    for point in radio.get_all_access_points().await? {
        let point = AccessPointProxy::builder(bus).path(point).build().await?;
        // One that is gone by now is left out.
        let (Ok(ssid), Ok(strength)) = (point.ssid().await, point.strength().await) else {
            continue;
        };
        let Some(name) = String::from_utf8(ssid).ok().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let security = Security::of(
            point.flags().await.unwrap_or(0),
            point.wpa_flags().await.unwrap_or(0),
            point.rsn_flags().await.unwrap_or(0),
        );
        let is_known = known.iter().any(|(_, _, known)| *known == name);
        let is_joined = joined.as_ref() == Some(&name);
        let entry = found.entry(name.clone()).or_insert(Found {
            name,
            strength,
            security,
            is_known,
            is_joined,
        });
        if strength > entry.strength {
            (entry.strength, entry.security) = (strength, security);
        }
    }
    let mut found: Vec<Found> = found.into_values().collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.strength));
    Ok(found)
}

type Known = (OwnedObjectPath, ProfileProxy<'static>, WiFiName);

/// Lists the profiles of Wi-Fi networks.
async fn profiles(bus: &Connection) -> Result<Vec<Known>, ManagerError> {
    let mut all = Vec::new();
    for path in ProfilesProxy::new(bus).await?.list_connections().await? {
        let profile = ProfileProxy::builder(bus)
            .path(path.clone())
            .build()
            .await?;
        // One that is gone by now is left out.
        let settings = profile.get_settings().await.unwrap_or_default();
        if let Some(name) = name(&settings) {
            all.push((path, profile, name));
        }
    }
    Ok(all)
}

async fn known(
    bus: &Connection,
    name: &WiFiName,
) -> Result<Vec<(OwnedObjectPath, ProfileProxy<'static>)>, ManagerError> {
    let all = profiles(bus).await?.into_iter();
    let of_name = all.filter(|(_, _, known)| known == name);
    Ok(of_name.map(|(path, profile, _)| (path, profile)).collect())
}

/// Makes the profile of a network. Nothing if it needs a password and there is none.
async fn new_profile(
    bus: &Connection,
    join: &Join,
    security: Security,
) -> Result<Option<Settings>, ManagerError> {
    let section = |entries: Vec<(&str, Variant<'_>)>| -> Result<_, ManagerError> {
        let mut section = HashMap::<String, OwnedVariant>::new();
        for (name, value) in entries {
            put(&mut section, name, value)?;
        }
        Ok(section)
    };
    let mut settings = Settings::from([
        (
            "connection".to_owned(),
            section(vec![
                ("id", join.name.as_str().into()),
                ("type", WIRELESS.into()),
            ])?,
        ),
        (
            WIRELESS.to_owned(),
            section(vec![
                ("ssid", join.name.as_str().as_bytes().to_vec().into()),
                ("mode", "infrastructure".into()),
                ("hidden", join.is_hidden.into()),
                // NM_SETTING_WIRELESS_POWERSAVE_DISABLE: a radio that sleeps answers late.
                ("powersave", 2_u32.into()),
            ])?,
        ),
        ("ipv4".to_owned(), section(vec![("method", "auto".into())])?),
        ("ipv6".to_owned(), section(vec![("method", "auto".into())])?),
    ]);
    let method = match security {
        Security::Wpa3 => "sae",
        Security::Password => "wpa-psk",
        Security::Open | Security::Enterprise | Security::Wep => return Ok(Some(settings)),
    };
    let password = match &join.password {
        Some(password) => Some(password.reveal().to_owned()),
        None => known_password(bus, &join.name).await?,
    };
    let Some(password) = password else {
        return Ok(None);
    };
    let entries = vec![("key-mgmt", method.into()), ("psk", password.into())];
    settings.insert(SECURITY.to_owned(), section(entries)?);
    Ok(Some(settings))
}

async fn known_password(bus: &Connection, name: &WiFiName) -> Result<Option<String>, ManagerError> {
    for (_, profile) in known(bus, name).await? {
        let secrets = profile.get_secrets(SECURITY).await.unwrap_or_default();
        let password = secrets.get(SECURITY).and_then(|it| it.get("psk"));
        if let Some(password) = password {
            return Ok(Some(text(password)));
        }
    }
    Ok(None)
}

/// Waits until the radio is in the network with an address. Otherwise says why it is not.
async fn arrives(
    mut states: impl Stream<Item = (u32, u32)> + Unpin,
    limit: Duration,
) -> Result<(), &'static str> {
    let mut has_begun = false;
    let arrival = async {
        while let Some((state, reason)) = states.next().await {
            match state {
                PREPARE => has_begun = true,
                // Until then the network that was joined before is left.
                ACTIVATED if has_begun => return Ok(()),
                DISCONNECTED | FAILED if has_begun => return Err(why(reason)),
                _ => {}
            }
        }
        Err("NetworkManager ended")
    };
    let arrived = tokio::time::timeout(limit, arrival).await;
    arrived.unwrap_or(Err("it took too long"))
}

/// Puts `NMDeviceStateReason` into words.
fn why(reason: u32) -> &'static str {
    match reason {
        // NO_SECRETS, SUPPLICANT_DISCONNECT, _CONFIG_FAILED, _FAILED, _TIMEOUT, and SSID_NOT_FOUND, which is
        // told for a wrong password of WPA3 as well.
        7..=11 | 53 => {
            "it did not let this device in: the password may be wrong, or it is too far away"
        }
        // IP_CONFIG_UNAVAILABLE, IP_CONFIG_EXPIRED, DHCP_START_FAILED, _ERROR, _FAILED.
        5 | 6 | 15..=17 => "it gave this device no address",
        _ => "it ended before there was an address",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn joining_ends_with_the_new_network_and_not_with_the_old() {
        for (states, expected) in [
            (
                vec![(110, 39), (30, 39), (40, 0), (70, 0), (100, 0)],
                Ok(()),
            ),
            (
                vec![(40, 0), (50, 0), (120, 53), (30, 0)],
                Err("password may be wrong"),
            ),
            (
                vec![(100, 0), (40, 0), (70, 0), (120, 5)],
                Err("no address"),
            ),
            (vec![(40, 0), (110, 39), (30, 39)], Err("before there was")),
            (vec![(100, 0)], Err("NetworkManager")),
        ] {
            let arrived = arrives(stream::iter(states.clone()), JOINING).await;
            match (arrived, expected) {
                (Ok(()), Ok(())) => {}
                (Err(why), Err(part)) => assert!(why.contains(part), "{states:?}: {why}"),
                other => panic!("{states:?}: {other:?}"),
            }
        }
    }
}
