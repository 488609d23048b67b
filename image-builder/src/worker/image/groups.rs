//! Which files of a tree change together: those of a package. An update of ten packages leaves the places of all others alone.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where a tree's package manager has which files are whose.
const LISTS: &str = "var/lib/dpkg/info";
/// Parts of a path that name the group of a file that no package has.
const PARTS: usize = 3;

/// The owners of a tree's files.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<Vec<u8>, Arc<str>>);

impl Groups {
    pub(super) fn read(tree: &Path) -> io::Result<Self> {
        let mut owners = HashMap::new();
        let mut lists = Vec::new();
        for entry in fs_err::read_dir(tree.join(LISTS)).into_iter().flatten() {
            lists.push(entry?.path());
        }
        // Of a path that several packages have, folders above all, the first counts.
        lists.sort_unstable();
        for list in lists {
            let name = list.file_name().unwrap_or_default().to_string_lossy();
            let Some(name) = name.strip_suffix(".list") else {
                continue;
            };
            let package: Arc<str> = without_numbers(name.split(':').next().unwrap_or(name)).into();
            for path in fs_err::read(&list)?.split(|&byte| byte == b'\n') {
                let package = Arc::clone(&package);
                owners.entry(path.to_vec()).or_insert(package);
            }
        }
        Ok(Self(owners))
    }

    /// Returns the group of a path that begins with a slash.
    pub(super) fn of(&self, path: &[u8]) -> String {
        if let Some(package) = self.0.get(path) {
            return package.to_string();
        }
        let path = String::from_utf8_lossy(path);
        let parts: Vec<&str> = path.splitn(PARTS + 2, '/').take(PARTS + 1).collect();
        without_numbers(&parts.join("/"))
    }
}

/// The next version of a package that has its version in its name, as kernels do, takes the place of the one before.
fn without_numbers(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if !character.is_ascii_digit() {
            text.push(character);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_packages_and_others_to_their_folders() {
        let tree = tempfile::tempdir().unwrap();
        let lists = tree.path().join(LISTS);
        fs_err::create_dir_all(&lists).unwrap();
        for (name, text) in [
            ("libc6:arm64.list", "/.\n/usr\n/usr/lib/libc.so.6\n"),
            (
                "linux-image-6.12.57+deb13-arm64.list",
                "/usr\n/usr/lib/modules/6.12.57/a.ko\n",
            ),
            ("libc6:arm64.postinst", "/usr/bin/own\n"),
        ] {
            fs_err::write(lists.join(name), text).unwrap();
        }
        let groups = Groups::read(tree.path()).unwrap();
        for (path, group) in [
            ("/usr/lib/libc.so.6", "libc#"),
            (
                "/usr/lib/modules/6.12.57/a.ko",
                "linux-image-#.#.#+deb#-arm#",
            ),
            ("/usr/lib/modules/6.12.57/modules.dep", "/usr/lib/modules"),
            ("/usr/bin/own", "/usr/bin/own"),
            ("/etc/hosts", "/etc/hosts"),
        ] {
            assert_eq!(groups.of(path.as_bytes()), group);
        }
        let none = Groups::read(&tree.path().join("nowhere")).unwrap();
        assert_eq!(none.of(b"/usr/lib/libc.so.6"), "/usr/lib/libc.so.#");
    }
}
