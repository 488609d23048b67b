//! Arguments of `bakelite device`.

use std::path::PathBuf;

use agent_client::Fingerprint;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Say which version runs, what is going on, and how the last update ended
    Status(DeviceArguments),
    /// Look what is new
    Look(DeviceArguments),
    /// Count what installing it would fetch and write
    Plan(DeviceArguments),
    /// Install what is new, or a bundle, and wait until it is kept or taken back
    Install(InstallArguments),
    /// Stop what is going on, or take back what waits
    Stop(DeviceArguments),
    /// Go back to the version before
    Back(DeviceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DeviceArguments {
    /// Name or address of the device, with a port if it is not 443
    pub(crate) host: String,
    /// SHA-256 of its certificate, as its console shows it: needed once, then it is remembered
    #[arg(long, value_name = "AA:BB:…")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// File with a token of its (page: People); else `BAKELITE_TOKEN` is used
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Update bundle to send to the device
    pub(crate) file: Option<PathBuf>,
    /// At night, by the hours that its owner chose
    #[arg(long, conflicts_with = "file")]
    pub(crate) at_night: bool,
}
