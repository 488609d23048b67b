//! What a boot partition holds.

use std::collections::BTreeSet;
use std::path::Path;

use super::Image;
use crate::partitions::fat;
use crate::worker::TaskError;

/// Returns the version of the tree's newest kernel.
pub(super) fn kernel_version(tree: &Path) -> Result<String, TaskError> {
    let versions = fs_err::read_dir(tree.join("usr/lib/modules"))?.flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().into_string().ok())
        .max();
    Ok(newest.ok_or("the image has no kernel")?)
}

impl Image {
    /// Collects what the boot ROM and the kernel need: firmware, kernel,
    /// initramfs, device trees, `config.txt`, `cmdline.txt`.
    pub(super) fn boot_files(
        &self,
        tree: &Path,
        version: &str,
        initramfs: Vec<u8>,
        root: &str,
    ) -> Result<fat::Files, TaskError> {
        let mut files = fat::Files::new();
        let firmware = tree.join("usr/lib/raspi-firmware");
        for entry in fs_err::read_dir(&firmware)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.insert(
                    entry.file_name().to_string_lossy().into_owned(),
                    fs_err::read(entry.path())?,
                );
            }
        }
        let kernel = fs_err::read(tree.join(format!("boot/vmlinuz-{version}")))?;
        files.insert("vmlinuz".into(), kernel);
        files.insert("initrd.img".into(), initramfs);
        let trees = tree.join(format!("usr/lib/linux-image-{version}"));
        let wanted: BTreeSet<&str> = self.device_trees.iter().map(String::as_str).collect();
        for name in wanted {
            let file = ["broadcom", ""]
                .iter()
                .map(|folder| trees.join(folder).join(name))
                .find(|file| file.is_file());
            let file =
                file.ok_or_else(|| format!("the kernel {version} has no device tree {name}"))?;
            files.insert(name.to_owned(), fs_err::read(file)?);
        }
        for entry in fs_err::read_dir(trees.join("overlays"))
            .into_iter()
            .flatten()
            .flatten()
        {
            files.insert(
                format!("overlays/{}", entry.file_name().to_string_lossy()),
                fs_err::read(entry.path())?,
            );
        }
        files.insert(
            "config.txt".into(),
            (self.config.join("\n") + "\n").into_bytes(),
        );
        let line = std::iter::once(root.to_owned())
            .chain(self.kernel_arguments.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ");
        files.insert("cmdline.txt".into(), (line + "\n").into_bytes());
        Ok(files)
    }
}
