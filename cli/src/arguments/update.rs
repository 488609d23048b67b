//! Arguments of `bakelite keys`, `bakelite publish` and `bakelite channel`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use release_channel::{Channel, Keys};
use release_stores::{Credentials, S3, Settings};
use update_trust::Step;

use crate::command_error::CommandError;
use crate::environment;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key that signs updates, and the root that devices are made with
    Init(KeysArguments),
    /// Say which keys devices trust
    Show(KeysArguments),
    /// Put a new key in the place of those whose files are here
    Rotate(KeysArguments),
    /// Trust one more key: a new one in a file, or somebody's
    Add(AddKeyArguments),
    /// Trust a key no longer
    Revoke(RevokeArguments),
    /// Sign the root that waits for more signatures
    Sign(KeysArguments),
}

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    /// Folder of the keys
    #[arg(long, default_value = "keys", value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
}

impl KeysArguments {
    /// Reads the keys, with those of the person's SSH agent.
    pub(crate) fn read(&self) -> Result<Keys, CommandError> {
        let keys = Keys::read(&self.keys).map_err(CommandError::Keys)?;
        Ok(keys.with_agent(environment::ssh_agent()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct AddKeyArguments {
    #[command(flatten)]
    pub(crate) keys: KeysArguments,
    /// Public key as `ssh-keygen -t ed25519` writes it: of an SSH agent or of a token, which `signers.toml` names
    #[arg(long, value_name = "KEY")]
    pub(crate) public: Option<String>,
    /// How many keys must sign the roots that follow
    #[arg(long, value_name = "COUNT")]
    pub(crate) threshold: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    pub(crate) keys: KeysArguments,
    /// Id of the key, or the beginning of it
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// Folder of a build, or an update bundle
    pub(crate) build: PathBuf,
    /// The channel: a folder that a web server serves, or `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// Reach devices little by little: `2d`, or steps such as `1h:1%,1d:10%,2d:100%`
    #[arg(long, value_name = "STEPS", value_parser = wave)]
    pub(crate) wave: Option<WaveSteps>,
    /// For how many releases before it to make what leads from them to this one
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub(crate) deltas: usize,
    #[command(flatten)]
    pub(crate) keys: KeysArguments,
}

/// Where an S3-compatible store is. Who writes there is said by `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if there is one,
/// `AWS_SESSION_TOKEN`.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// Address of the store, unless it is Amazon's
    #[arg(long, value_name = "ADDRESS")]
    endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl StoreArguments {
    /// Opens a channel in a folder, or in a bucket.
    pub(crate) fn channel(&self, place: &str) -> Result<Channel, CommandError> {
        let Some(place) = place.strip_prefix("s3://") else {
            return Ok(Channel::new(Path::new(place)));
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let need = |name: &str| {
            environment::secret(name).ok_or_else(|| CommandError::Usage {
                text: format!("{name} is not set: the store wants to know who writes"),
            })
        };
        let (key, secret) = (need("AWS_ACCESS_KEY_ID")?, need("AWS_SECRET_ACCESS_KEY")?);
        let token = environment::secret("AWS_SESSION_TOKEN");
        let settings = Settings {
            bucket: bucket.into(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            prefix: prefix.into(),
            address: None,
        };
        let credentials = Credentials {
            key: &key,
            secret: &secret,
            token: token.as_deref(),
        };
        let store =
            S3::open(settings, credentials).map_err(|error| CommandError::Channel(error.into()))?;
        Ok(Channel::in_store(Arc::new(store)))
    }
}

/// Steps of a wave.
#[derive(Debug, Clone)]
pub(crate) struct WaveSteps(pub(crate) Vec<Step>);

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// List releases, how far their waves are, and until when the signatures hold
    Show(ChannelArguments),
    /// Have a release's wave stand still
    Pause(ReleaseArguments),
    /// Have a wave go on where it stood still, or end a halt
    Resume(ReleaseArguments),
    /// Have nobody begin to install a release, not by hand either
    Halt(ReleaseArguments),
    /// Halt a release, and have devices that have it go on to the newest that is left
    Yank(ReleaseArguments),
    /// Sign anew, so that the signatures do not expire
    Renew(ChannelArguments),
    /// Take old releases and files away that nobody needs
    Prune(PruneArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ChannelArguments {
    /// Folder of the channel, or `s3://BUCKET/PREFIX`
    pub(crate) channel: String,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(flatten)]
    pub(crate) keys: KeysArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    #[command(flatten)]
    pub(crate) channel: ChannelArguments,
    /// Version of the release
    pub(crate) version: String,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    pub(crate) channel: ChannelArguments,
    /// How many of the newest releases stay
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(crate) keep: usize,
}

/// Reads steps: a time after publishing, and the share of devices by then.
fn wave(text: &str) -> Result<WaveSteps, String> {
    let mut steps: Vec<Step> = Vec::new();
    for part in text.split(',') {
        let (time, share) = part.split_once(':').unwrap_or((part, "100%"));
        let after = seconds(time.trim()).ok_or_else(|| {
            format!("“{time}” is no time: write a number and m, h or d, such as 36h")
        })?;
        let percent: Option<u8> = share
            .trim()
            .strip_suffix('%')
            .and_then(|it| it.parse().ok());
        let percent = percent
            .filter(|percent| *percent <= 100)
            .ok_or_else(|| format!("“{share}” is no share: write a percentage, such as 10%"))?;
        if steps
            .last()
            .is_some_and(|last| after <= last.after || percent < last.percent)
        {
            return Err(format!(
                "“{part}” comes after a step that is later or larger"
            ));
        }
        steps.push(Step { after, percent });
    }
    match steps.last() {
        Some(Step { percent: 100, .. }) => Ok(WaveSteps(steps)),
        _ => {
            Err("the last step must reach 100%: use `bakelite channel pause` to stop before".into())
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_wave_are_read_and_what_makes_no_sense_is_told() {
        let read = |text| {
            wave(text).map(|steps| {
                steps
                    .0
                    .iter()
                    .map(|step| (step.after, step.percent))
                    .collect()
            })
        };
        assert_eq!(read("2d"), Ok(vec![(172_800, 100)]));
        assert_eq!(
            read("1h:1%, 1d:10%,2d:100%"),
            Ok(vec![(3600, 1), (86_400, 10), (172_800, 100)])
        );
        for bad in [
            "",
            "2",
            "d",
            "1h:1",
            "1h:101%",
            "1h:50%",
            "2d:50%,1d:100%",
            "1h:50%,2h:10%,3h:100%",
            "1h:1%,1h:100%",
            "99999999999999999999d",
        ] {
            assert!(wave(bad).is_err(), "{bad}");
        }
    }
}
