//! The command line of what goes to cards, sticks and modules.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Args;
use content_digest::Sha256Digest;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct FlashArguments {
    /// The image: .img, .img.zst, .img.xz, .img.gz, the folder of a build, or the https address of one of them
    pub(crate) image: String,
    /// The disks to write; with --only, all that it allows if absent
    pub(crate) devices: Vec<PathBuf>,
    /// Ask nothing
    #[arg(long)]
    pub(crate) yes: bool,
    /// Write only disks with this serial number or on this port (as `bakelite devices` shows them)
    #[arg(long, value_name = "SERIAL|PORT")]
    pub(crate) only: Vec<String>,
    /// Write also what looks like no card: a disk of this machine, a loop, more than 256 GB
    #[arg(long)]
    pub(crate) unusual: bool,
    /// Do not read back
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Look first whether each disk stores as much as it says: some counterfeit cards do not
    #[arg(long)]
    pub(crate) probe_capacity: bool,
    /// Write every block, also those that the block map says are empty
    #[arg(long)]
    pub(crate) no_bmap: bool,
    /// Write only what somebody signed whose key is in this file: SSH public keys, a file of allowed signers, or a
    /// minisign public key
    #[arg(long, value_name = "FILE", env = "BAKELITE_SIGNED_BY")]
    pub(crate) signed_by: Vec<PathBuf>,
    /// Take boards in USB boot mode to where they show their storage, with the boot files of this folder, and write
    /// that: the boards on the ports of --only, or the one that waits
    #[arg(long, value_name = "FOLDER")]
    pub(crate) usb_boot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) record: RecordArguments,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordArguments {
    /// Add a line of JSON for each disk to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Sign each record with this SSH key: a private key, or a public one whose private key an agent holds
    #[arg(long, value_name = "KEY", requires = "record")]
    pub(crate) sign_record: Option<PathBuf>,
    /// Who does it, for the record
    #[arg(long, value_name = "NAME", env = "BAKELITE_OPERATOR")]
    pub(crate) operator: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings of the device, which it takes at its first start")]
pub(crate) struct SettingsArguments {
    /// Take settings from this file, of the form of settings.txt on the card; what is given beside it goes first
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// The device's name on the network; {n} becomes the number of the card, from 1, {serial} its serial number
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Let the holder of this public SSH key in
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_key: Vec<PathBuf>,
    /// Join this Wi-Fi network; its password is asked for, or taken from `BAKELITE_WIFI_PASSWORD`
    #[arg(long, value_name = "NAME")]
    pub(crate) wi_fi: Option<String>,
    /// The country where the device is, such as DE: its rules for radios hold
    #[arg(long, value_name = "COUNTRY")]
    pub(crate) country: Option<String>,
    /// Keep this address, such as 192.168.1.20/24: on Wi-Fi if --wi-fi is given, else on the cable
    #[arg(long, value_name = "ADDRESS/BITS")]
    pub(crate) address: Option<String>,
    /// Who leads to other networks
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    pub(crate) gateway: Option<Ipv4Addr>,
    /// Who knows names
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    pub(crate) name_server: Vec<Ipv4Addr>,
    /// The code with which the device is claimed, or “new”: then each card gets one of its own, which is printed
    #[arg(long, value_name = "CODE|new")]
    pub(crate) claim_code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FlashLogArguments {
    /// Files of records
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only cards whose serial number or device's own serial number is this, or begins so
    #[arg(long)]
    pub(crate) serial: Option<String>,
    /// Only cards with this build, by the digest of its manifest
    #[arg(long, value_name = "SHA256")]
    pub(crate) candidate: Option<Sha256Digest>,
    /// Only cards that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// Print a table for spreadsheets (RFC 4180)
    #[arg(long)]
    pub(crate) csv: bool,
    /// Check that each record is signed by somebody whose key is in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) signed_by: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UsbBootArguments {
    /// Folder with Raspberry Pi's boot files, such as mass-storage-gadget64 of raspberrypi/usbboot
    pub(crate) folder: PathBuf,
    /// Ports of boards, as `bakelite devices` shows them; the one that waits if absent
    pub(crate) ports: Vec<String>,
}
