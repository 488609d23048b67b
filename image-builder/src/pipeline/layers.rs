//! The recipe's overlays, and what follows from the recipe itself, as layers for a tree.

use std::path::Path;

use super::stages::bind;
use crate::lock::Lock;
use crate::mirror::Mirrors;
use crate::overlay::{Contents, Layer, LayerFile};
use crate::recipe::written::Layout;
use crate::recipe::{Overlay, Recipe};
use crate::sandbox::Bind;

/// Returns the recipe's overlays as layers, with those of their files that `wanted` chooses, and the
/// binds that show their contents inside the tree.
pub(super) fn layers(
    recipe: &Recipe,
    lock: &Lock,
    wanted: impl Fn(&str) -> bool,
) -> (Vec<Layer>, Vec<Bind>) {
    let whole = wanted("/etc/fstab");
    let mut layers = vec![generated(recipe, lock, whole)];
    let mut binds = Vec::new();
    for overlay in &recipe.overlays {
        binds.push(bind(
            &overlay.folder,
            &format!(".bakelite/overlays/{}", overlay.name),
            false,
        ));
        layers.push(layer(overlay, whole, &wanted));
    }
    (layers, binds)
}

fn layer(overlay: &Overlay, whole: bool, wanted: &impl Fn(&str) -> bool) -> Layer {
    let shown = Path::new("/.bakelite/overlays").join(&overlay.name);
    let files = overlay
        .files
        .iter()
        .filter(|file| wanted(&file.path))
        .map(|file| LayerFile {
            path: file.path.clone().into(),
            contents: match fs_err::read_link(&file.from) {
                Ok(target) => Contents::Link(target),
                Err(_) => {
                    Contents::CopyOf(shown.join("files").join(file.path.trim_start_matches('/')))
                }
            },
            owner: file.owner.clone(),
            group: file.group.clone(),
            mode: file.mode,
        });
    let units = |list: &Vec<String>| if whole { list.clone() } else { Vec::new() };
    Layer {
        name: overlay.name.clone(),
        files: files.collect(),
        users: if whole {
            overlay.users.clone()
        } else {
            Vec::new()
        },
        enable: units(&overlay.systemd.enable),
        disable: units(&overlay.systemd.disable),
        mask: units(&overlay.systemd.mask),
    }
}

/// Files that follow from the recipe rather than from an overlay.
fn generated(recipe: &Recipe, lock: &Lock, whole: bool) -> Layer {
    let text = |path: &str, text: String| LayerFile {
        path: path.into(),
        contents: Contents::Text(text),
        owner: "root".into(),
        group: "root".into(),
        mode: 0o644,
    };
    let modules = recipe.boot().initramfs_modules.join("\n") + "\n";
    let mut files = vec![text("/etc/initramfs-tools/modules", modules)];
    if whole {
        files.push(text("/etc/hostname", format!("{}\n", recipe.name)));
        files.push(text(
            "/etc/hosts",
            format!(
                "127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost ip6-loopback\n",
                recipe.name
            ),
        ));
        files.push(text("/etc/fstab", mounts(recipe.layout).into()));
        if recipe.layout == Layout::Ab {
            files.push(text("/usr/lib/bakelite/kept", recipe.kept()));
            if let Some(root) = &recipe.update_root {
                files.push(text("/usr/lib/bakelite/update-root.json", root.clone()));
            }
            for (path, contents) in [
                ("/usr/lib/bakelite/update.json", &recipe.update_choices),
                (
                    "/usr/lib/bakelite/update-authority.pem",
                    &recipe.update_authority,
                ),
            ] {
                files.extend(contents.clone().map(|contents| text(path, contents)));
            }
        }
        files.push(text(
            "/etc/apt/sources.list.d/bakelite.sources",
            apt_sources(recipe),
        ));
        files.push(text(
            "/usr/lib/bakelite/image.json",
            serde_json::json!({ "name": recipe.name, "version": recipe.version, "board": recipe.board, "distro": recipe.distro,
                "packages": lock.image.len(), "rollback-index": recipe.rollback_index })
            .to_string()
                + "\n",
        ));
    }
    Layer {
        name: "recipe".into(),
        files,
        users: vec![],
        enable: vec![],
        disable: vec![],
        mask: vec![],
    }
}

/// Returns what is mounted. With two slots, it is the initramfs that knows which one runs.
const fn mounts(layout: Layout) -> &'static str {
    match layout {
        Layout::Single => {
            "# Labels, not devices: the same image boots from a card, USB or eMMC.\n\
             LABEL=rootfs  /               ext4  defaults,noatime                        0 1\n\
             LABEL=bootfs  /boot/firmware  vfat  defaults,noatime,umask=0077,nofail       0 2\n"
        }
        Layout::Ab => {
            "# All is mounted before this is read: /usr/lib/bakelite/kept says what is kept.\n"
        }
    }
}

/// Sources for apt on the device. The build machine's mirrors are not the device's.
fn apt_sources(recipe: &Recipe) -> String {
    let mirrors = Mirrors::default();
    let stanzas: Vec<String> = recipe
        .sources()
        .iter()
        .map(|source| {
            let keys: String = source
                .keys
                .join("\n")
                .lines()
                .map(|l| {
                    if l.is_empty() {
                        " .\n".into()
                    } else {
                        format!(" {l}\n")
                    }
                })
                .collect();
            format!(
                "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\nSigned-By:\n{keys}",
                mirrors.base(&source.archive, source.mirror.as_deref()),
                source.suite,
                source.components.join(" ")
            )
        })
        .collect();
    stanzas.join("\n")
}
