//! `/var/lib/dpkg`: status, file lists and control files, byte for byte as dpkg writes them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;

use std::path::{Path, PathBuf};

use apt_repository::control::{self, ParseControlError};
use apt_repository::relation::{self, Alternatives};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use md5::{Digest as _, Md5};

/// Where dpkg keeps its state.
pub(super) const ADMIN: &str = "/var/lib/dpkg";
/// The order in which dpkg writes the fields it knows (lib/dpkg/parse.c); all others follow.
const FIELD_ORDER: &[&str] = &[
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
];
/// Control files that dpkg does not keep in `info/`.
const NOT_KEPT: &[&str] = &["control"];
const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm", "config"];

/// How far a package has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its preinst runs.
    HalfInstalled,
    /// Its files are there.
    Unpacked,
    /// Its postinst runs.
    HalfConfigured,
    /// All done.
    Installed,
}

impl State {
    const fn text(self) -> &'static str {
        match self {
            Self::HalfInstalled => "install reinstreq half-installed",
            Self::Unpacked => "install ok unpacked",
            Self::HalfConfigured => "install ok half-configured",
            Self::Installed => "install ok installed",
        }
    }
}

/// The database cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Reading or writing failed.
    #[error("cannot write dpkg's database")]
    Io(#[source] std::io::Error),
    /// A control file is malformed.
    #[error("the control file of {package} is malformed")]
    Control {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: ParseControlError,
    },
    /// A control file lacks what every package has.
    #[error("the control file of {package} has no field {field}")]
    Field {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
    },
}

/// One package of the database.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) architecture: String,
    pub(super) multi_arch_same: bool,
    pub(super) depends: Vec<Alternatives>,
    pub(super) provides: Vec<String>,
    /// Lines of the `triggers` control file.
    pub(super) triggers: String,
    fields: Vec<(String, String)>,
    conffiles: Vec<String>,
}

impl Entry {
    /// Returns the prefix of this package's files in `info/`.
    pub(super) fn info_name(&self) -> String {
        if self.multi_arch_same {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }

    pub(super) fn info_path(&self, kind: &str) -> PathBuf {
        Path::new(ADMIN)
            .join("info")
            .join(format!("{}.{kind}", self.info_name()))
    }
}

impl Entry {
    /// Returns the sums that dpkg makes itself for a package without `md5sums`: of every file but
    /// configuration files.
    fn sums(&self, paths: &[String]) -> std::io::Result<String> {
        let mut text = String::new();
        for path in paths.iter().filter(|path| !self.conffiles.contains(path)) {
            if fs_err::symlink_metadata(path).is_ok_and(|data| data.is_file()) {
                let digest = hex::encode(Md5::digest(fs_err::read(path)?));
                text.push_str(&format!("{digest}  {}\n", path.trim_start_matches('/')));
            }
        }
        Ok(text)
    }
}

/// The database in memory; [`Database::write_status`] writes it out.
#[derive(Debug, Default)]
pub struct Database {
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Database {
    /// Makes the files of an empty database.
    pub fn create(&self) -> Result<(), DatabaseError> {
        let make = || {
            for folder in ["info", "updates", "triggers", "alternatives", "parts"] {
                fs_err::create_dir_all(Path::new(ADMIN).join(folder))?;
            }
            write(&Path::new(ADMIN).join("info/format"), b"1\n", 0o644)?;
            for file in [
                "available",
                "diversions",
                "statoverride",
                "status",
                "lock",
                "lock-frontend",
                "triggers/Lock",
                "triggers/Unincorp",
            ] {
                let mode = match file {
                    "lock" | "lock-frontend" => 0o640,
                    "triggers/Lock" => 0o600,
                    _ => 0o644,
                };
                write(&Path::new(ADMIN).join(file), b"", mode)?;
            }
            Ok(())
        };
        make().map_err(DatabaseError::Io)
    }

    /// Reads the database of a tree that was made before.
    pub fn read() -> Result<Self, DatabaseError> {
        let text =
            fs_err::read_to_string(Path::new(ADMIN).join("status")).map_err(DatabaseError::Io)?;
        let mut database = Self::default();
        for stanza in control::stanzas(&text) {
            let stanza = stanza.map_err(|source| DatabaseError::Control {
                package: "status".into(),
                source,
            })?;
            let fields = stanza.fields().iter().map(|(name, value)| {
                // The value of this field begins on a line of its own.
                let value = if *name == "Conffiles" {
                    format!("\n {value}")
                } else {
                    (*value).to_owned()
                };
                ((*name).to_owned(), value)
            });
            let fields = fields.collect();
            let mut entry = entry_of(fields)?;
            entry.triggers =
                fs_err::read_to_string(entry.info_path("triggers")).unwrap_or_default();
            entry.state = State::Installed;
            database.entries.insert(entry.name.clone(), entry);
        }
        Ok(database)
    }

    /// Adds a package from its control files, and puts those into `info/`.
    pub fn add(
        &mut self,
        name: &str,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), DatabaseError> {
        let text = String::from_utf8_lossy(&files["control"]).into_owned();
        let stanza = match control::stanzas(&text).next() {
            Some(stanza) => stanza.map_err(|source| DatabaseError::Control {
                package: name.to_owned(),
                source,
            })?,
            None => {
                return Err(DatabaseError::Field {
                    package: name.to_owned(),
                    field: "Package",
                });
            }
        };
        let fields = stanza
            .fields()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut entry = entry_of(fields)?;
        if entry.name != name {
            return Err(DatabaseError::Field {
                package: name.to_owned(),
                field: "Package",
            });
        }
        let text_of = |file: &str| {
            String::from_utf8_lossy(files.get(file).map_or(&[][..], Vec::as_slice)).into_owned()
        };
        entry.conffiles = text_of("conffiles")
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        entry.triggers = text_of("triggers");
        for (file, bytes) in files
            .iter()
            .filter(|(file, _)| !NOT_KEPT.contains(&file.as_str()))
        {
            let mode = if SCRIPTS.contains(&file.as_str()) {
                0o755
            } else {
                0o644
            };
            write(&entry.info_path(file), bytes, mode).map_err(DatabaseError::Io)?;
        }
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Records the files of an unpacked package.
    pub fn set_contents(&mut self, name: &str, paths: &[String]) -> Result<(), DatabaseError> {
        let entry = self
            .entries
            .get_mut(name)
            .expect("the package was added before");
        let record = || {
            let mut list = paths.join("\n");
            list.push('\n');
            write(&entry.info_path("list"), list.as_bytes(), 0o644)?;
            if !entry.info_path("md5sums").exists() {
                write(
                    &entry.info_path("md5sums"),
                    entry.sums(paths)?.as_bytes(),
                    0o644,
                )?;
            }
            let mut lines = Vec::new();
            for conffile in &entry.conffiles {
                match conffile.strip_prefix("remove-on-upgrade") {
                    // Named so that an older version's file goes away; this package has none.
                    Some(path) => {
                        lines.push(format!(" {} newconffile remove-on-upgrade", path.trim()));
                    }
                    None => lines.push(format!(
                        " {conffile} {}",
                        hex::encode(Md5::digest(fs_err::read(conffile)?))
                    )),
                }
            }
            Ok(lines)
        };
        let lines: Vec<String> = record().map_err(DatabaseError::Io)?;
        if !lines.is_empty() {
            entry
                .fields
                .push(("Conffiles".into(), format!("\n{}", lines.join("\n"))));
        }
        entry.state = State::Unpacked;
        Ok(())
    }

    /// Writes `status`.
    pub fn write_status(&self) -> Result<(), DatabaseError> {
        let mut text = String::with_capacity(self.entries.len() * 1200);
        for entry in self.entries.values() {
            write_stanza(&mut text, entry);
        }
        let path = Path::new(ADMIN).join("status");
        let new = path.with_extension("new");
        write(&new, text.as_bytes(), 0o644)
            .and_then(|()| fs_err::rename(&new, &path))
            .map_err(DatabaseError::Io)
    }

    /// Returns the packages in the set that satisfy one of the alternatives.
    pub(super) fn satisfying(&self, group: &Alternatives) -> Vec<&str> {
        let mut found = Vec::new();
        for relation in &group.0 {
            if let Some(entry) = self.entries.get(&relation.name) {
                found.push(entry.name.as_str());
            } else {
                let providers = self
                    .entries
                    .values()
                    .filter(|entry| entry.provides.contains(&relation.name));
                found.extend(providers.map(|entry| entry.name.as_str()));
            }
        }
        found
    }
}

fn entry_of(fields: Vec<(String, String)>) -> Result<Entry, DatabaseError> {
    let get = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    };
    let name = get("Package").unwrap_or_default();
    let needed = |field: &'static str| {
        get(field).ok_or_else(|| DatabaseError::Field {
            package: name.clone(),
            field,
        })
    };
    let relations = |field| relation::parse(&get(field).unwrap_or_default()).unwrap_or_default();
    let mut depends = relations("Pre-Depends");
    depends.extend(relations("Depends"));
    let architecture = needed("Architecture")?;
    needed("Version")?;
    Ok(Entry {
        architecture,
        multi_arch_same: get("Multi-Arch").as_deref() == Some("same"),
        depends,
        provides: relations("Provides")
            .into_iter()
            .flat_map(|group| group.0)
            .map(|r| r.name)
            .collect(),
        triggers: String::new(),
        conffiles: Vec::new(),
        state: State::HalfInstalled,
        fields: fields
            .into_iter()
            .filter(|(field, _)| field != "Status")
            .collect(),
        name,
    })
}

fn write_stanza(text: &mut String, entry: &Entry) {
    let mut put = |name: &str, value: &str| {
        text.push_str(name);
        text.push(':');
        if !value.starts_with('\n') && !value.is_empty() {
            text.push(' ');
        }
        text.push_str(value);
        text.push('\n');
    };
    for known in FIELD_ORDER {
        if *known == "Status" {
            put("Status", entry.state.text());
        } else if let Some((name, value)) = entry
            .fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(known))
        {
            put(name, value);
        }
    }
    for (name, value) in &entry.fields {
        if !FIELD_ORDER
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            put(name, value);
        }
    }
    text.push('\n');
}

/// Writes a file whose mode does not depend on the umask.
fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(PermissionsExt::from_mode(mode))
}
