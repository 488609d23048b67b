//! Settings of each card's device, from a file and from the command line.

use std::io::IsTerminal as _;

use device_settings::{
    CLAIM_RANDOM, Connection, DeviceSettings, Hidden, StaticAddress, WiFi, claim_code,
};
use flash::settings::{Patch, Place};
use flash::{Device, Source};

use crate::arguments::flash::SettingsArguments;
use crate::command_error::CommandError;
use crate::environment;

/// Where the password of a network is taken from.
const PASSWORD: &str = "BAKELITE_WIFI_PASSWORD";

/// What one card's device is told.
#[derive(Debug, Default)]
pub(super) struct Personal {
    /// What is otherwise on its card.
    pub(super) patch: Patch,
    /// Its name.
    pub(super) hostname: Option<String>,
    /// A code that was made for it, to be told once.
    pub(super) new_code: Option<Hidden>,
}

fn usage(text: impl Into<String>) -> CommandError {
    CommandError::Usage { text: text.into() }
}

/// Makes the settings of each card. All that is wrong with them or with the image is told here, before a disk is
/// opened.
pub(super) fn of_each(
    arguments: &SettingsArguments,
    source: &Source,
    chosen: &[&Device],
) -> Result<Vec<Personal>, CommandError> {
    let (common, makes_codes) = common(arguments)?;
    let hostname = arguments.hostname.as_deref();
    if common.is_empty() && hostname.is_none() && !makes_codes {
        return Ok(chosen.iter().map(|_| Personal::default()).collect());
    }
    if chosen.len() > 1 {
        if let Some(name) = hostname.filter(|name| !name.contains('{')) {
            return Err(usage(format!(
                "all cards would be {name}: put {{n}} or {{serial}} into the name"
            )));
        }
        if common.address.is_some() {
            return Err(usage(
                "all cards would have the same address: write them one by one",
            ));
        }
    }
    let place = Place::find(source).map_err(CommandError::NoSettings)?;
    let mut all = Vec::new();
    for (index, device) in chosen.iter().enumerate() {
        let mut settings = common.clone();
        if let Some(name) = hostname {
            let serial = device.serial.as_deref().unwrap_or_default();
            let name = name
                .replace("{n}", &(index + 1).to_string())
                .replace("{serial}", serial);
            let read = name.parse();
            settings.host_name = Some(read.map_err(|error| usage(format!("“{name}”: {error}")))?);
        }
        let new_code = makes_codes.then(|| {
            let random = environment::random();
            claim_code(*random.first_chunk::<CLAIM_RANDOM>().expect("it is longer"))
        });
        if let Some(code) = &new_code {
            settings.claim_code = Some(code.clone());
        }
        all.push(Personal {
            patch: place.patch(&settings).map_err(CommandError::NoSettings)?,
            hostname: settings.host_name.map(String::from),
            new_code,
        });
    }
    Ok(all)
}

/// Reads what all cards share, and whether each gets a code of its own.
fn common(arguments: &SettingsArguments) -> Result<(DeviceSettings, bool), CommandError> {
    let mut settings = match &arguments.settings {
        None => DeviceSettings::default(),
        Some(path) => {
            let text = fs_err::read_to_string(path);
            let text = text.map_err(CommandError::io("read the settings"))?;
            let wrong =
                |source| CommandError::NoSettings(flash::settings::NoSettings::Settings(source));
            DeviceSettings::read(&text).map_err(wrong)?
        }
    };
    for path in &arguments.ssh_key {
        let text = fs_err::read_to_string(path).map_err(CommandError::io("read the SSH key"))?;
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty());
        settings.ssh_keys.extend(keys.map(str::to_owned));
    }
    if let Some(name) = &arguments.wi_fi {
        settings.wi_fi = Some(WiFi {
            name: name
                .parse()
                .map_err(|error| usage(format!("“{name}”: {error}")))?,
            password: Some(password(name)?).filter(|password| !password.reveal().is_empty()),
            is_hidden: false,
            country: None,
        });
    }
    if let Some(country) = &arguments.country {
        let wi_fi = settings.wi_fi.as_mut();
        let wi_fi = wi_fi.ok_or_else(|| usage("--country is for Wi-Fi: add --wi-fi"))?;
        wi_fi.country = Some(
            country
                .parse()
                .map_err(|error| usage(format!("“{country}”: {error}")))?,
        );
    }
    if let Some(address) = &arguments.address {
        let address = StaticAddress::new(address, arguments.gateway, arguments.name_server.clone());
        let address = address.map_err(|error| usage(error.to_string()))?;
        let connection = match arguments.wi_fi {
            Some(_) => Connection::WiFi,
            None => Connection::Wired,
        };
        settings.address = Some((connection, address));
    }
    let makes_codes = arguments.claim_code.as_deref() == Some("new");
    if let Some(code) = arguments.claim_code.as_ref().filter(|_| !makes_codes) {
        settings.claim_code = Some(Hidden::new(code));
    }
    Ok((settings, makes_codes))
}

/// Asks for a password, unless a program gave it.
fn password(network: &str) -> Result<Hidden, CommandError> {
    if let Some(password) = environment::secret(PASSWORD) {
        return Ok(Hidden::new(password));
    }
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!(
            "nobody is there to be asked for the password of “{network}”: set {PASSWORD} (empty for an open network), or use --settings"
        )));
    }
    let question = format!("Password of “{network}” (empty for an open network): ");
    let password = rpassword::prompt_password(question);
    password
        .map(Hidden::new)
        .map_err(CommandError::io("read the password"))
}
