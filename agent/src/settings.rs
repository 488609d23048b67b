//! Takes the settings of the boot partition, before the network, SSH and the agent start.

use std::io;
use std::path::Path;
use std::process::Command;

use device_settings::Country;

use crate::helper::BOOT;
use crate::run::say;

/// Takes them, and tells what is wrong where somebody looks: on the console and on the card.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let partition = Path::new(BOOT);
    let settings = match agent_boot_settings::take(partition, Path::new("/")) {
        Ok(None) => return Ok(()),
        Ok(Some(settings)) => settings,
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(":\n{cause}"));
            agent_boot_settings::tell_error(partition, &format!("{error}{cause}"))?;
            return Err(error.into());
        }
    };
    // The kernel has the old name since it started.
    if let Some(name) = &settings.host_name {
        fs_err::write("/proc/sys/kernel/hostname", name.as_str())?;
    }
    let country = settings.wi_fi.as_ref().and_then(|it| it.country.as_ref());
    if let Some(country) = country
        && let Err(error) = rules_of(country)
    {
        // They hold at the next start.
        say(&format!("error: {error}"));
    }
    say("The settings of the card were taken.");
    Ok(())
}

/// Has radios keep a country's rules now. Without a radio there is nothing to do.
#[expect(
    clippy::disallowed_methods,
    reason = "a fixed program with a checked argument, and no shell"
)]
fn rules_of(country: &Country) -> io::Result<()> {
    if !Path::new("/sys/module/cfg80211").exists() {
        return Ok(());
    }
    let mut iw = Command::new("/usr/sbin/iw");
    let status = iw.args(["reg", "set", country.as_str()]).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("iw reg set: {status}")))
}
