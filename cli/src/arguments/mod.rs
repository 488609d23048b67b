//! The command line.

pub(crate) mod device;
pub(crate) mod flash;
pub(crate) mod release;
pub(crate) mod update;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Bake bootable Raspberry Pi images for KVM-over-IP devices
#[derive(Debug, Parser)]
#[command(
    name = "bakelite",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 the request failed, 2 the command line or recipe is wrong, 3 verification failed, 70 a fault of bakelite itself."
)]
pub(crate) struct Arguments {
    /// Print events as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Fetch an archive from here: NAME=ADDRESS, such as `debian=https://mirror.example/debian`
    #[arg(long, global = true, value_name = "NAME=ADDRESS")]
    pub(crate) mirror: Vec<String>,
    /// Keep packages, trees and results here
    #[arg(long, global = true, value_name = "FOLDER", env = "BAKELITE_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find every problem of a recipe and its overlays
    Check(RecipeArguments),
    /// Resolve the packages of a recipe and write the lock
    Lock(LockArguments),
    /// Say what a build would do, and why
    Plan(BuildArguments),
    /// Build an image with its outputs
    Build(BuildArguments),
    /// Compare two builds
    Diff(DiffArguments),
    /// Start an image in an emulated machine
    Boot(BootArguments),
    /// Open a shell in a recipe's tree of packages
    Shell(BuildArguments),
    /// Show what an image holds and whether boards would start it
    Inspect(InspectArguments),
    /// Hash a folder of outputs again, or rebuild it and compare
    Verify(VerifyArguments),
    /// Print SHA-256 sums, or write an image's hashes into a changelog
    Hash(HashArguments),
    /// Turn a candidate into a published release, step by step and together
    Release(release::ReleaseArguments),
    /// List the cards and sticks that can be flashed
    Devices(DevicesArguments),
    /// Write an image to cards and sticks, and read it back
    Flash(Box<flash::FlashArguments>),
    /// Look into the records of many cards: search, check, export
    FlashLog(flash::FlashLogArguments),
    /// Take boards in USB boot mode to where they show their storage as a disk
    UsbBoot(flash::UsbBootArguments),
    /// Keys that sign updates
    #[command(subcommand)]
    Keys(update::KeysCommand),
    /// Sign a build's update bundle, and add it to a channel that devices look at
    Publish(update::PublishArguments),
    /// Change what a channel says of releases that are out
    #[command(subcommand)]
    Channel(update::ChannelCommand),
    /// Look after a device's updates from here
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Say what this machine can do, and what is missing
    Doctor,
    /// Look after the cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecipeArguments {
    /// The recipe
    pub(crate) recipe: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The recipe
    pub(crate) recipe: PathBuf,
    /// Where the lock goes; beside the recipe if absent
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// The recipe
    pub(crate) recipe: PathBuf,
    /// Folder for outputs
    #[arg(long, default_value = "out", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Use the lock beside the recipe, and nothing newer
    #[arg(long)]
    pub(crate) locked: bool,
    /// Use this lock
    #[arg(long, value_name = "FILE", conflicts_with = "locked")]
    pub(crate) lock: Option<PathBuf>,
    /// Emulate every program of the target: slow, the reference
    #[arg(long)]
    pub(crate) strict_emulation: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// Folder or manifest of the first build
    pub(crate) before: PathBuf,
    /// Folder or manifest of the second build
    pub(crate) after: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BootArguments {
    /// The image: .img, .img.zst or .img.xz
    pub(crate) image: PathBuf,
    /// The lock with the emulator's packages; the one beside the image if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Disk that the machine works on; made from the image unless it exists
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// Size of a new disk in GiB
    #[arg(long, default_value_t = 4)]
    pub(crate) disk_size: u64,
    /// Have the disk take nothing, as a worn-out card
    #[arg(long)]
    pub(crate) read_only: bool,
    /// File for the console's output; beside the disk if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) console: Option<PathBuf>,
    /// Local port that leads to the agent
    #[arg(long, default_value_t = 8443)]
    pub(crate) port: u16,
    /// Local port that leads to SSH
    #[arg(long)]
    pub(crate) ssh_port: Option<u16>,
    /// One more port that leads into the machine: LOCAL:MACHINE, or udp:LOCAL:MACHINE
    #[arg(long, value_name = "PORTS")]
    pub(crate) forward: Vec<image_builder::boot::Forward>,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    pub(crate) memory: u32,
    /// Board whose boot files are used
    #[arg(long, default_value = "pi4")]
    pub(crate) board: String,
    /// End when this is reached; run on if absent
    #[arg(long, value_enum)]
    pub(crate) until: Option<Until>,
    /// Seconds to wait
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout: u64,
    /// End when the machine restarts itself, instead of starting it again as its firmware would
    #[arg(long)]
    pub(crate) end_at_restart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// The agent answers that it is healthy
    Healthy,
    /// The machine switches itself off
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The image: .img, .img.zst or .img.xz
    pub(crate) image: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Folder of the outputs
    pub(crate) folder: PathBuf,
    /// Build this recipe again from the folder's lock and compare every file
    #[arg(long, value_name = "RECIPE")]
    pub(crate) rebuild: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct HashArguments {
    /// Files to hash
    #[arg(required_unless_present = "changelog", conflicts_with = "changelog")]
    pub(crate) files: Vec<PathBuf>,
    /// Changelog (Keep a Changelog) whose entry gets the hashes
    #[arg(long, value_name = "FILE", requires = "manifest")]
    pub(crate) changelog: Option<PathBuf>,
    /// The build's manifest.json, or its folder; its files are hashed again
    #[arg(long, value_name = "FILE", requires = "changelog")]
    pub(crate) manifest: Option<PathBuf>,
    /// Entry of the changelog; the manifest's version if absent
    #[arg(long, value_name = "VERSION")]
    pub(crate) entry: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// List all disks of this machine, and say why others are not offered
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Remove trees and results that no build used for some days; packages in the vault stay
    Gc {
        /// Days
        #[arg(long, default_value_t = 14)]
        days: u64,
    },
    /// Show what the cache holds
    Show,
}
