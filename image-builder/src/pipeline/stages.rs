//! The stages: each takes what the one before made, and looks into the cache first.
//!
//! Past 500 lines because each stage spells out everything that its worker sees: that list is the
//! contract, and reads best beside the others.

use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;

use super::keys::{INITRAMFS_FOLDERS, Keys, packages_key};
use super::{BuildError, Vault};
use crate::dpkg::PackageFile;
use crate::event::{self, Sink};
use crate::lock::{Lock, LockedPackage, TARGET};
use crate::mirror::Mirrors;
use crate::overlay::{Contents, Layer, LayerFile, LayerUser};
use crate::partitions::layout::{Identities, MIB};
use crate::recipe::{Overlay, Recipe};
use crate::sandbox::{self, Bind, Confinement, Network, Root};
use crate::store::Store;
use crate::worker::base::{self, Emulation};
use crate::worker::image::Report;
use crate::worker::{Answer, Task, finish, image};
use crate::{Host, agent_package};

/// What most stages need.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) host: &'a Host,
    pub(super) store: &'a Store,
    pub(super) lock: &'a Lock,
    pub(super) keys: &'a Keys,
    pub(super) tools: &'a Path,
    pub(super) base: &'a Path,
}

/// An image before it is compressed.
#[derive(Debug)]
pub(super) struct RawImage {
    pub(super) file: PathBuf,
    pub(super) report: Report,
    pub(super) kernel: String,
}

fn bind(from: &Path, to: &str, writable: bool) -> Bind {
    Bind {
        from: from.to_owned(),
        to: to.into(),
        writable,
    }
}

fn work(
    host: &Host,
    step: &'static str,
    task: &Task,
    sink: Sink<'_>,
) -> Result<Answer, BuildError> {
    sandbox::run(host, Network::None, task, sink)
        .map_err(|source| BuildError::Worker { step, source })
}

/// Removes folders that belong to subordinate ids.
pub(super) fn remove(host: &Host, paths: Vec<PathBuf>) -> Result<(), BuildError> {
    work(host, "clean-up", &Task::Remove { paths }, &mut |_| {}).map(|_| ())
}

fn package_files(packages: &[LockedPackage]) -> Vec<PackageFile> {
    let file = |package: &LockedPackage| PackageFile {
        name: package.name.clone(),
        path: Vault::relative(&package.sha256).into(),
        sha256: package.sha256,
        installed_kib: package.installed_kib,
    };
    packages.iter().map(file).collect()
}

/// Makes a tree in `partial/` and moves it to its key when it is whole.
fn make_tree(
    host: &Host,
    store: &Store,
    key: &Sha256Digest,
    make: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let tree = store.tree(key);
    let partial = store.partial(&format!("tree-{}", key.short()));
    fs_err::create_dir_all(&partial)?;
    if let Err(error) = make(&partial) {
        // The first error counts; what cannot be removed now is removed by the next build.
        drop(remove(host, vec![partial]));
        return Err(error);
    }
    fs_err::rename(&partial, &tree)?;
    Ok(tree)
}

/// Returns the tree of unpacked packages, made if needed.
pub fn unpacked_tree(
    host: &Host,
    store: &Store,
    vault: &Vault,
    kind: &'static str,
    packages: &[LockedPackage],
    sink: Sink<'_>,
) -> Result<PathBuf, BuildError> {
    let key = packages_key(kind, packages);
    if store.tree(&key).is_dir() {
        event::cached(sink, kind);
        return Ok(store.tree(&key));
    }
    event::step(sink, kind, |sink| {
        make_tree(host, store, &key, |tree| {
            let task = base::Unpack {
                confinement: Confinement {
                    root: Root::Folder(tree.to_owned()),
                    binds: vec![bind(vault.root(), ".bakelite/vault", false)],
                    emulator: None,
                },
                packages: package_files(packages),
                threads: host.threads,
            };
            work(host, kind, &Task::Unpack(task), sink).map(|_| ())
        })
    })
}

fn foreign(host: &Host) -> bool {
    host.architecture != TARGET
}

/// What a worker needs to run the target's programs.
fn target_confinement(host: &Host, root: Root, tools: &Path, more: Vec<Bind>) -> Confinement {
    let mut binds = vec![bind(tools, ".bakelite/tools", false)];
    binds.extend(more);
    let emulator = foreign(host).then(|| tools.join("usr/bin/qemu-aarch64"));
    Confinement {
        root,
        binds,
        emulator,
    }
}

/// What a shell in a tree sees: the target alone, emulated.
pub(super) fn shell_confinement(
    host: &Host,
    base: &Path,
    layer: &Path,
    tools: &Path,
) -> Confinement {
    target_confinement(
        host,
        Root::Layered {
            lower: base.to_owned(),
            layer: layer.to_owned(),
        },
        tools,
        Vec::new(),
    )
}

/// Returns the tree of the distribution's packages, installed and configured.
#[expect(clippy::too_many_arguments, reason = "a stage names what it needs")]
pub(super) fn base(
    host: &Host,
    store: &Store,
    vault: &Vault,
    lock: &Lock,
    keys: &Keys,
    tools: &Path,
    emulation: Emulation,
    sink: Sink<'_>,
) -> Result<PathBuf, BuildError> {
    if store.tree(&keys.base).is_dir() {
        event::cached(sink, "base");
        return Ok(store.tree(&keys.base));
    }
    event::step(sink, "base", |sink| {
        let mut scripts = Vec::new();
        let tree = make_tree(host, store, &keys.base, |tree| {
            let vault = bind(vault.root(), ".bakelite/vault", false);
            let task = base::Base {
                confinement: target_confinement(
                    host,
                    Root::Folder(tree.to_owned()),
                    tools,
                    vec![vault],
                ),
                packages: package_files(&lock.image),
                threads: host.threads,
                timestamp: lock.timestamp,
                emulation,
                foreign: foreign(host),
            };
            scripts =
                work(host, "installing the packages", &Task::Base(task), sink)?.script_seconds;
            Ok(())
        })?;
        let times = serde_json::to_vec(&scripts).expect("plain data");
        crate::store::write_atomically(&tree.with_extension("scripts.json"), &times)?;
        Ok(tree)
    })
}

/// Returns the slowest scripts of the base tree, as measured when it was made.
pub(super) fn slow_scripts(base: &Path) -> Vec<(String, f64)> {
    let text = fs_err::read(base.with_extension("scripts.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Returns the agent's package.
pub(super) fn agent(
    recipe: &Recipe,
    host: &Host,
    store: &Store,
    vault: &Vault,
    lock: &Lock,
    keys: &Keys,
    sink: Sink<'_>,
) -> Result<PathBuf, BuildError> {
    let key = keys.agent.expect("called for recipes with the agent");
    if let Some(folder) = store.result(&key) {
        event::cached(sink, "agent");
        return Ok(folder.join("bakelite-agent.deb"));
    }
    let toolchain = unpacked_tree(host, store, vault, "toolchain", &lock.toolchain, sink)?;
    let sysroot = unpacked_tree(host, store, vault, "sysroot", &lock.sysroot, sink)?;
    event::step(sink, "agent", |sink| {
        let trees = agent_package::Trees { toolchain, sysroot };
        let folder = store.make_result(&key, |folder| {
            agent_package::build(host, &recipe.project, lock, &trees, folder, sink)
                .map_err(BuildError::from)
        })?;
        Ok(folder.join("bakelite-agent.deb"))
    })
}

/// Returns the initramfs file.
#[expect(clippy::too_many_arguments, reason = "a stage names what it needs")]
pub(super) fn initramfs(
    recipe: &Recipe,
    host: &Host,
    store: &Store,
    lock: &Lock,
    keys: &Keys,
    tools: &Path,
    base: &Path,
    emulation: Emulation,
    sink: Sink<'_>,
) -> Result<PathBuf, BuildError> {
    if let Some(folder) = store.result(&keys.initramfs) {
        event::cached(sink, "initramfs");
        return Ok(folder.join("initrd.img"));
    }
    event::step(sink, "initramfs", |sink| {
        let layer = store.partial("initramfs-layer");
        let folder = store.make_result(&keys.initramfs, |folder| -> Result<(), BuildError> {
            let (layers, mut binds) = layers(recipe, lock, |path| {
                INITRAMFS_FOLDERS.iter().any(|f| path.starts_with(f))
            });
            binds.push(bind(folder, ".bakelite/out", true));
            let root = Root::Layered {
                lower: base.to_owned(),
                layer: layer.clone(),
            };
            let task = finish::Initramfs {
                confinement: target_confinement(host, root, tools, binds),
                layers,
                timestamp: lock.timestamp,
                emulation,
                foreign: foreign(host),
            };
            work(host, "making the initramfs", &Task::Initramfs(task), sink).map(|_| ())
        });
        remove(host, vec![layer])?;
        Ok(folder?.join("initrd.img"))
    })
}

/// Writes the image: agent and overlays on top of the base, then partitions.
pub(super) fn image(
    inputs: &Inputs<'_>,
    agent: Option<&Path>,
    initramfs: &Path,
    emulation: Emulation,
    sink: Sink<'_>,
) -> Result<RawImage, BuildError> {
    let Inputs {
        recipe,
        host,
        store,
        lock,
        keys,
        tools,
        base,
        ..
    } = inputs;
    let layer = store.partial("finish-layer");
    let kernel = event::step(sink, "overlays", |sink| {
        finish_tree(inputs, &layer, agent, initramfs, emulation, sink)
    });
    let made = kernel.and_then(|kernel| {
        let folder = store.partial("image");
        fs_err::create_dir_all(&folder)?;
        let boot = recipe.boot();
        let task = image::Image {
            confinement: Confinement {
                root: Root::Folder(tools.to_path_buf()),
                binds: vec![bind(&folder, ".bakelite/out", true)],
                emulator: None,
            },
            tree: Root::Layered {
                lower: base.to_path_buf(),
                layer: layer.clone(),
            },
            image: Path::new(finish::OUT).join("disk.img"),
            boot_size: u64::from(recipe.boot_mib) * MIB,
            free: u64::from(recipe.free_mib) * MIB,
            identities: Identities::from_digest(&keys.image),
            timestamp: lock.timestamp,
            config: boot.config,
            kernel_arguments: boot.kernel_arguments,
            device_trees: boot.device_trees,
        };
        let report = event::step(sink, "image", |sink| {
            work(host, "writing the image", &Task::Image(task), sink)
        })?
        .image;
        Ok(RawImage {
            file: folder.join("disk.img"),
            report: report.unwrap_or_default(),
            kernel,
        })
    });
    remove(host, vec![layer])?;
    made
}

fn finish_tree(
    inputs: &Inputs<'_>,
    layer: &Path,
    agent: Option<&Path>,
    initramfs: &Path,
    emulation: Emulation,
    sink: Sink<'_>,
) -> Result<String, BuildError> {
    let Inputs {
        recipe,
        host,
        lock,
        tools,
        base,
        ..
    } = inputs;
    let (layers, mut binds) = layers(recipe, lock, |_| true);
    binds.push(bind(
        initramfs.parent().unwrap_or(initramfs),
        ".bakelite/out",
        false,
    ));
    let mut package = None;
    if let Some(agent) = agent {
        binds.push(bind(
            agent.parent().unwrap_or(agent),
            ".bakelite/vault",
            false,
        ));
        let (sha256, size) = Sha256Digest::of_file(agent)?;
        let path = agent.file_name().unwrap_or_default().into();
        package = Some(PackageFile {
            name: "bakelite-agent".into(),
            path,
            sha256,
            installed_kib: size / 256,
        });
    }
    let root = Root::Layered {
        lower: base.to_path_buf(),
        layer: layer.to_owned(),
    };
    let task = finish::Finish {
        confinement: target_confinement(host, root, tools, binds),
        agent: package,
        layers,
        timestamp: lock.timestamp,
        emulation,
        foreign: foreign(host),
        initramfs: Path::new(finish::OUT).join("initrd.img"),
    };
    let answer = work(host, "applying the overlays", &Task::Finish(task), sink)?;
    Ok(answer.kernel_version.unwrap_or_default())
}

/// Returns the recipe's overlays as layers, with those of their files that `wanted` chooses, and the
/// binds that show their contents inside the tree.
fn layers(recipe: &Recipe, lock: &Lock, wanted: impl Fn(&str) -> bool) -> (Vec<Layer>, Vec<Bind>) {
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
    let user = |user: &crate::recipe::User| LayerUser {
        name: user.name.clone(),
        uid: user.uid,
        groups: user.groups.clone(),
        shell: user.shell.clone(),
        password_hash: user.password_hash.clone(),
        ssh_keys: user.ssh_keys.clone(),
    };
    let units = |list: &Vec<String>| if whole { list.clone() } else { Vec::new() };
    Layer {
        name: overlay.name.clone(),
        files: files.collect(),
        users: if whole {
            overlay.users.iter().map(user).collect()
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
        files.push(text(
            "/etc/fstab",
            "# Labels, not devices: the same image boots from a card, USB or eMMC.\n\
             LABEL=rootfs  /               ext4  defaults,noatime                        0 1\n\
             LABEL=bootfs  /boot/firmware  vfat  defaults,noatime,umask=0077,nofail       0 2\n"
                .into(),
        ));
        files.push(text(
            "/etc/apt/sources.list.d/bakelite.sources",
            apt_sources(recipe),
        ));
        files.push(text(
            "/usr/lib/bakelite/image.json",
            serde_json::json!({ "name": recipe.name, "version": recipe.version, "board": recipe.board, "distro": recipe.distro,
                "packages": lock.image.len() })
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
