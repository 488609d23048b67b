//! The TOML files as written. Every key is documented here; unknown keys are errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A schema number that must be exactly `N`.
#[derive(Debug, Clone, Copy)]
pub struct SchemaVersion<const N: u32>;

impl<'de, const N: u32> Deserialize<'de> for SchemaVersion<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            found if found == N => Ok(Self),
            found => Err(serde::de::Error::custom(format!(
                "schema {found} is not supported: this program reads schema {N}"
            ))),
        }
    }
}

/// `recipes/<name>.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecipeToml {
    /// Always 1.
    pub schema: SchemaVersion<1>,
    /// Name of the image: letters, digits and hyphens.
    pub name: String,
    /// Version of the image, such as `1.4.0`.
    pub version: String,
    /// One sentence for people who choose an image.
    #[serde(default)]
    pub description: String,
    /// The board overlay.
    pub board: String,
    /// The distribution overlay.
    pub distro: String,
    /// Feature overlays, applied in this order.
    #[serde(default)]
    pub overlays: Vec<String>,
    /// Packages besides those of the overlays.
    #[serde(default)]
    pub packages: Vec<String>,
    /// How the image is laid out.
    #[serde(default)]
    pub image: ImageToml,
    /// How devices take it as an update.
    #[serde(default)]
    pub update: UpdateToml,
    /// Mirror by archive name, such as `debian = "https://…"`.
    #[serde(default)]
    pub mirrors: BTreeMap<String, String>,
}

/// `[image]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ImageToml {
    /// `single`: a boot and a root partition; the root grows at first boot. `ab`: two slots, of which one can be
    /// replaced while the other runs, and a data partition that grows.
    pub layout: Layout,
    /// `zstd` (quick) or `xz` (small).
    pub compression: Compression,
    /// Size of the boot partition in MiB.
    pub boot_mib: u32,
    /// Room left free in the root partition, in MiB, before it grows: layout `single`.
    pub free_mib: u32,
    /// Size of each root slot in MiB: layout `ab`. It stays as it is for as long as devices are updated.
    pub root_mib: u32,
}

impl Default for ImageToml {
    fn default() -> Self {
        Self {
            layout: Layout::Single,
            compression: Compression::Zstd,
            boot_mib: 256,
            free_mib: 64,
            root_mib: 768,
        }
    }
}

/// `[update]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct UpdateToml {
    /// Folder of the update keys, beside `overlays/`: `keys` if absent. Devices are made with the newest root in it; without one
    /// they take no updates.
    pub keys: Option<String>,
    /// Address of the channel that devices look at: a folder that `bakelite publish` made, on any web server. Owners can choose
    /// another.
    pub source: Option<String>,
    /// What devices do by themselves unless their owners choose otherwise.
    pub automatic: Automatic,
    /// File beside `overlays/` with certificates, PEM, that devices trust for the channel beside the system's: where a company has
    /// authorities of its own.
    pub authority: Option<String>,
    /// Devices that kept a version take none with a lower index. Raise it when an older version has a fault that must not come
    /// back.
    pub rollback_index: u32,
    /// Most that may be new in a build against the version before, in MiB, without a warning: half of it if absent.
    pub budget_mib: Option<u32>,
    /// Bundle of the version before, or the folder that has it, beside `overlays/`: the newest other version in the folder of
    /// outputs if absent.
    pub before: Option<String>,
}

/// What devices do by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// Nothing: they do not even look.
    Off,
    /// They look once a day, and say what there is.
    #[default]
    Look,
    /// They install at night.
    Night,
}

/// How partitions are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One boot and one root partition.
    Single,
    /// Two of each, one for the version that runs and one for the next, and a partition for data.
    Ab,
}

/// How the image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// `.img.zst`
    Zstd,
    /// `.img.xz`
    Xz,
}

/// `overlays/<name>/overlay.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OverlayToml {
    /// Always 1.
    pub schema: SchemaVersion<1>,
    /// One sentence.
    pub description: String,
    /// `board`, `distro` or `feature`.
    pub kind: Kind,
    /// Overlays that must be in the recipe too.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Overlays that must not.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// The only layout that it is for.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// Packages to install.
    #[serde(default)]
    pub packages: PackagesToml,
    /// Package sources.
    #[serde(default)]
    pub sources: Vec<SourceToml>,
    /// Owner and mode of files below `files/` that are not `root:root` with the mode they have.
    #[serde(default)]
    pub files: Vec<FileToml>,
    /// Units to enable, disable or mask.
    #[serde(default)]
    pub systemd: SystemdToml,
    /// Users to make.
    #[serde(default)]
    pub users: Vec<UserToml>,
    /// Firmware and kernel settings.
    #[serde(default)]
    pub boot: BootToml,
    /// What of the device outlives a restart: layout `ab`.
    #[serde(default)]
    pub keep: KeepToml,
}

/// What an overlay stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A family of boards.
    Board,
    /// A distribution.
    Distro,
    /// Anything else.
    Feature,
}

/// `[packages]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PackagesToml {
    /// Packages of the archive.
    pub install: Vec<String>,
    /// Whether the agent of this workspace is built and installed.
    pub agent: bool,
}

/// `[[sources]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceToml {
    /// Name of the archive, which a mirror is chosen for: `debian`, `debian-security`.
    pub archive: String,
    /// Suite or code name, such as `trixie`.
    pub suite: String,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// Key files, relative to the overlay.
    pub keys: Vec<String>,
    /// Where the archive is when the host knows no mirror for it.
    #[serde(default)]
    pub mirror: Option<String>,
}

/// `[[files]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileToml {
    /// Absolute path in the image.
    pub path: String,
    /// User that owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group that owns it.
    #[serde(default)]
    pub group: Option<String>,
    /// Mode in octal, such as `"0640"`.
    #[serde(default)]
    pub mode: Option<String>,
}

/// `[systemd]`
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SystemdToml {
    /// Units to enable.
    pub enable: Vec<String>,
    /// Units to disable.
    pub disable: Vec<String>,
    /// Units to mask.
    pub mask: Vec<String>,
}

/// `[[users]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserToml {
    /// Login name.
    pub name: String,
    /// Numeric id; the next free one if absent.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Supplementary groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Login shell.
    #[serde(default)]
    pub shell: Option<String>,
    /// A hash as `crypt` makes it. Without one, no password opens the account.
    #[serde(default)]
    pub password_hash: Option<String>,
    /// Lines for `authorized_keys`.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
}

/// `[keep]`: absolute paths; those of folders end with `/`. What is not named is as the image has it at each start.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeepToml {
    /// Settings: each version on trial has a copy of its own, so that going back finds them untouched.
    pub settings: Vec<String>,
    /// Folders that all versions share: logs, large files.
    pub shared: Vec<String>,
}

/// `[boot]`
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BootToml {
    /// Lines of `config.txt`.
    pub config: Vec<String>,
    /// Arguments of `cmdline.txt`.
    pub kernel_arguments: Vec<String>,
    /// Modules that the initramfs must hold.
    pub initramfs_modules: Vec<String>,
    /// Boards that the image must start on, by the names of the firmware model.
    pub boards: Vec<String>,
    /// Device trees to copy, by file name.
    pub device_trees: Vec<String>,
}
