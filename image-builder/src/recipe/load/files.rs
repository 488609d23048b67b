//! The files that an overlay brings.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::problem;
use crate::recipe::meant::File;
use crate::recipe::problem::Problem;
use crate::recipe::written::OverlayToml;

/// A device runs all that lies there: migrations of its settings, and what a version on trial must show (docs/updates.md).
const PROGRAMS: [&str; 2] = [
    "/usr/lib/bakelite/health.d/",
    "/usr/lib/bakelite/migrate.d/",
];

/// The mode of a file in the working copy says only whether it is executable: git keeps no more,
/// and the umask of whoever checked it out must not change the image.
pub(super) fn load_files(
    file: &Path,
    folder: &Path,
    toml: &OverlayToml,
    problems: &mut Vec<Problem>,
) -> Vec<File> {
    let root = folder.join("files");
    let mut found = BTreeMap::new();
    let mut pending = vec![root.clone()];
    while let Some(next) = pending.pop().filter(|next| next.is_dir()) {
        for entry in fs_err::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
                continue;
            }
            let inner = path.strip_prefix(&root).expect("walked from the root");
            let executable = entry
                .metadata()
                .is_ok_and(|data| data.permissions().mode() & 0o100 != 0);
            let mode = if executable { 0o755 } else { 0o644 };
            let target = format!("/{}", inner.display());
            found.insert(
                target.clone(),
                File {
                    path: target,
                    from: path,
                    owner: "root".into(),
                    group: "root".into(),
                    mode,
                },
            );
        }
    }
    for setting in &toml.files {
        let Some(target) = found.get_mut(&setting.path) else {
            let near =
                apt_repository::solver::nearest(&setting.path, found.keys().map(String::as_str));
            let hint = near.map(|near| format!("is “{near}” meant?"));
            problems.push(problem(
                file,
                None,
                format!("{} is not below files/", setting.path),
                hint,
            ));
            continue;
        };
        if let Some(mode) = &setting.mode {
            match u32::from_str_radix(mode, 8) {
                Ok(mode) if mode <= 0o7777 => target.mode = mode,
                _ => problems.push(problem(
                    file,
                    None,
                    format!("mode “{mode}” is not octal, such as \"0640\""),
                    None,
                )),
            }
        }
        target.owner = setting.owner.clone().unwrap_or_else(|| "root".into());
        target.group = setting.group.clone().unwrap_or_else(|| "root".into());
    }
    for File { path, from, .. } in found.values().filter(|file| file.mode & 0o111 == 0) {
        if let Some(folder) = PROGRAMS.iter().find(|folder| path.starts_with(**folder)) {
            problems.push(problem(
                from,
                None,
                format!("a device runs whatever lies in {folder}, and this is not executable: no update would be kept"),
                Some("chmod +x, or take it away".into()),
            ));
        }
    }
    found.into_values().collect()
}
