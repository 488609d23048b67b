//! Arguments of `bakelite keys` and `bakelite publish`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key that signs updates, and the root that devices are made with
    Init(KeysArguments),
    /// Say which keys devices trust
    Show(KeysArguments),
}

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    /// Folder of the keys
    #[arg(long, default_value = "keys", value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// Folder of a build, or an update bundle
    pub(crate) build: PathBuf,
    /// The channel: a folder that a web server serves
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) keys: KeysArguments,
}
