//! One binary package, as a stanza of a `Packages` index describes it.

use content_digest::Sha256Digest;

use crate::control::{self, Stanza};
use crate::version::DebVersion;

/// A binary package of an archive.
#[derive(Debug, Clone)]
pub struct Package {
    /// `Package:`
    pub name: String,
    /// `Version:`
    pub version: DebVersion,
    /// `Architecture:`, such as `arm64` or `all`.
    pub architecture: String,
    /// `Multi-Arch:`, such as `same`.
    pub multi_arch: Option<String>,
    /// `Essential: yes`
    pub essential: bool,
    /// `Priority:`, such as `required`.
    pub priority: String,
    /// `Section:`
    pub section: String,
    /// Source package's name and version.
    pub source: (String, String),
    /// `Pre-Depends:`, as written.
    pub pre_depends: String,
    /// `Depends:`, as written.
    pub depends: String,
    /// `Conflicts:`, as written.
    pub conflicts: String,
    /// `Breaks:`, as written.
    pub breaks: String,
    /// `Provides:`, as written.
    pub provides: String,
    /// Path below the archive's root.
    pub filename: String,
    /// Size of the `.deb` in bytes.
    pub size: u64,
    /// Digest of the `.deb`.
    pub sha256: Sha256Digest,
    /// `Installed-Size:` in KiB.
    pub installed_size: u64,
    /// Number of the archive source that it came from, set by whoever reads several.
    pub origin: usize,
}

/// A stanza lacks what every package needs.
#[derive(Debug, thiserror::Error)]
pub enum ParsePackageError {
    /// The index is not control data.
    #[error("the package index is not readable")]
    Control(#[source] control::ParseControlError),
    /// A field is missing or malformed.
    #[error("package {package} has no valid field {field}")]
    Field {
        /// The package, if it has a name.
        package: String,
        /// The field.
        field: &'static str,
    },
}

impl Package {
    /// Reads one stanza of a `Packages` index.
    pub fn from_stanza(stanza: &Stanza<'_>, origin: usize) -> Result<Self, ParsePackageError> {
        let name = stanza.get("Package").unwrap_or_default().to_owned();
        let fail = |field| ParsePackageError::Field {
            package: name.clone(),
            field,
        };
        let text = |field| stanza.get(field).unwrap_or_default().to_owned();
        let needed = |field| stanza.get(field).ok_or_else(|| fail(field));
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(fail("Package"));
        }
        let version: DebVersion = needed("Version")?
            .parse()
            .map_err(|_malformed| fail("Version"))?;
        let source = match stanza.get("Source").map(|source| source.split_once(" (")) {
            None => (name.clone(), version.to_string()),
            Some(None) => (text("Source"), version.to_string()),
            Some(Some((source, version))) => {
                (source.to_owned(), version.trim_end_matches(')').to_owned())
            }
        };
        let filename = needed("Filename")?;
        if filename.starts_with('/') || filename.split('/').any(|part| part == "..") {
            return Err(fail("Filename"));
        }
        Ok(Self {
            architecture: needed("Architecture")?.to_owned(),
            multi_arch: stanza.get("Multi-Arch").map(str::to_owned),
            essential: stanza.get("Essential") == Some("yes"),
            priority: stanza.get("Priority").unwrap_or("optional").to_owned(),
            section: text("Section"),
            source,
            pre_depends: text("Pre-Depends"),
            depends: text("Depends"),
            conflicts: text("Conflicts"),
            breaks: text("Breaks"),
            provides: text("Provides"),
            filename: filename.trim_start_matches("./").to_owned(),
            size: needed("Size")?.parse().map_err(|_malformed| fail("Size"))?,
            sha256: needed("SHA256")?
                .parse()
                .map_err(|_malformed| fail("SHA256"))?,
            installed_size: text("Installed-Size").parse().unwrap_or(0),
            origin,
            version,
            name,
        })
    }
}

/// Reads a whole `Packages` index.
pub fn parse_index(text: &str, origin: usize) -> Result<Vec<Package>, ParsePackageError> {
    let mut packages = Vec::with_capacity(text.len() / 900);
    for stanza in control::stanzas(text) {
        packages.push(Package::from_stanza(
            &stanza.map_err(ParsePackageError::Control)?,
            origin,
        )?);
    }
    Ok(packages)
}
