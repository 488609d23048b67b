//! `[update]` of a recipe: the keys, and what devices are told of their channel.

use std::path::Path;

use super::super::written::UpdateToml;

/// Returns what devices are told of their channel.
pub(super) fn choices(update: &UpdateToml) -> Result<Option<String>, String> {
    let Some(source) = &update.source else {
        return Ok(None);
    };
    let is_address = ["https://", "http://", "hawkbit+https://"]
        .iter()
        .any(|scheme| {
            source
                .strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty())
        });
    if !is_address || source.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "update.source: “{source}” is no address: those of a channel begin with https:// or http://, that of a fleet server with hawkbit+https://"
        ));
    }
    let choices = serde_json::json!({ "source": source, "automatic": update.automatic });
    Ok(Some(choices.to_string()))
}

/// Returns the certificates that devices trust for their channel.
pub(super) fn authority(project: &Path, update: &UpdateToml) -> Result<Option<String>, String> {
    let Some(name) = &update.authority else {
        return Ok(None);
    };
    let path = project.join(name);
    let text = fs_err::read_to_string(&path).unwrap_or_default();
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(Some(text))
    } else {
        Err(format!(
            "update.authority: {} has no certificate",
            path.display()
        ))
    }
}

/// Returns the newest root of a folder of update keys: roots are numbered from 1, without gaps.
pub(super) fn newest_root(keys: &Path) -> Option<String> {
    let roots = (1..).map_while(|version| {
        fs_err::read_to_string(keys.join(format!("{version}.root.json"))).ok()
    });
    roots.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(source: &str) -> Result<Option<String>, String> {
        choices(&UpdateToml {
            source: Some(source.into()),
            ..UpdateToml::default()
        })
    }

    #[test]
    fn channels_and_fleet_servers_are_addresses_and_nothing_else_is() {
        assert_eq!(choices(&UpdateToml::default()), Ok(None));
        for good in [
            "https://example.org/stable",
            "http://updates.local/",
            "hawkbit+https://fleet.example.org",
        ] {
            let told: serde_json::Value =
                serde_json::from_str(&source(good).unwrap().unwrap()).unwrap();
            assert_eq!(
                told,
                serde_json::json!({ "source": good, "automatic": "look" })
            );
        }
        // A fleet server's token does not go over a network in the clear.
        for bad in [
            "",
            "https://",
            "example.org",
            "ftp://example.org",
            "hawkbit+http://example.org",
            "https://a b",
            "https://a\n",
        ] {
            let error = source(bad).unwrap_err();
            assert!(error.contains("no address"), "{bad}: {error}");
        }
    }
}
