//! Where an archive is fetched from. Locks and manifests never hold this: any mirror will do.

use std::collections::BTreeMap;
use std::path::Path;

/// Used when the host has no Debian sources of its own. Carries every archive of Debian.
const FALLBACK: &str = "https://ftp.debian.org";
/// Keeps every package that Debian ever published, by digest of its path and time.
pub const SNAPSHOT: &str = "https://snapshot.debian.org/archive";

/// Base addresses by archive name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    bases: BTreeMap<String, String>,
}

impl Mirrors {
    /// Takes the mirrors of the host's own apt sources: an archive is named by the last part of its
    /// address (`…/debian`, `…/debian-security`).
    pub fn of_host(apt: &Path) -> Self {
        let mut mirrors = Self::default();
        let mut files = vec![apt.join("sources.list")];
        let listed = fs_err::read_dir(apt.join("sources.list.d"))
            .into_iter()
            .flatten()
            .flatten();
        files.extend(listed.map(|entry| entry.path()));
        files.sort();
        for file in files {
            let extension = file.extension().unwrap_or_default();
            if extension != "list" && extension != "sources" {
                continue;
            }
            let text = fs_err::read_to_string(&file).unwrap_or_default();
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#'));
            for word in lines.flat_map(str::split_ascii_whitespace) {
                if word.starts_with("http://") || word.starts_with("https://") {
                    let base = word.trim_end_matches('/');
                    let archive = base.rsplit('/').next().unwrap_or_default().to_owned();
                    mirrors
                        .bases
                        .entry(archive)
                        .or_insert_with(|| base.to_owned());
                }
            }
        }
        mirrors
    }

    /// Sets the mirror of one archive; a later call wins.
    pub fn set(&mut self, archive: &str, base: &str) {
        self.bases
            .insert(archive.to_owned(), base.trim_end_matches('/').to_owned());
    }

    /// Returns the base address of `archive`.
    pub fn base(&self, archive: &str, last_resort: Option<&str>) -> String {
        if let Some(base) = self.bases.get(archive) {
            return base.clone();
        }
        match last_resort {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("{FALLBACK}/{archive}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_apt_sources() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("sources.list.d")).unwrap();
        fs_err::write(folder.path().join("sources.list"), "# deb http://no.example/debian x main\ndeb [signed-by=/k] http://one.example/debian/ trixie main\n").unwrap();
        fs_err::write(
            folder.path().join("sources.list.d/s.sources"),
            "Types: deb\nURIs: http://two.example/debian-security\nSuites: x\n",
        )
        .unwrap();
        fs_err::write(
            folder.path().join("sources.list.d/off.list.disabled"),
            "deb http://three.example/other x main\n",
        )
        .unwrap();
        let mut mirrors = Mirrors::of_host(folder.path());
        assert_eq!(mirrors.base("debian", None), "http://one.example/debian");
        assert_eq!(
            mirrors.base("debian-security", None),
            "http://two.example/debian-security"
        );
        assert_eq!(
            mirrors.base("other", Some("http://last.example/other/")),
            "http://last.example/other"
        );
        mirrors.set("debian", "http://mine.example/d/");
        assert_eq!(mirrors.base("debian", None), "http://mine.example/d");
    }
}
