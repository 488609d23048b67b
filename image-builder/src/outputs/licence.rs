//! Licences of packages, from the machine-readable copyright files in the tree (DEP-5).

use std::collections::BTreeSet;
use std::path::Path;

/// Returns the short names of a package's licences; empty where its copyright file is free text.
pub fn of_package(tree: &Path, package: &str) -> Vec<String> {
    let file = tree.join("usr/share/doc").join(package).join("copyright");
    // The documentation folder may be a link to another package's, inside the tree.
    let text = fs_err::read(&file).or_else(|_| {
        let link = fs_err::read_link(tree.join("usr/share/doc").join(package))?;
        fs_err::read(
            tree.join("usr/share/doc")
                .join(link.file_name().unwrap_or_default())
                .join("copyright"),
        )
    });
    let text = text
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    if !text.starts_with("Format") {
        return Vec::new();
    }
    let names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("License:"))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter().collect()
}

/// Makes a licence name usable as an SPDX `LicenseRef-` id.
pub fn reference(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("LicenseRef-Debian-{plain}")
}
