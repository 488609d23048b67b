//! The stages: each takes what the one before made, and looks into the cache first.

use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;

use super::keys::{INITRAMFS_FOLDERS, Keys, packages_key};
use super::layers::layers;
use super::{BuildError, BuildOptions, Vault};
use crate::download::Downloader;
use crate::dpkg::PackageFile;
use crate::event::{self, Sink};
use crate::lock::{Lock, LockedPackage, TARGET};
use crate::partitions::layout::{Identities, MIB};
use crate::recipe::Recipe;
use crate::recipe::written::Layout;
use crate::sandbox::{self, Bind, Confinement, Network, Root};
use crate::store::Store;
use crate::worker::base::{self, Emulation};
use crate::worker::image::Report;
use crate::worker::{Answer, Task, finish, image};
use crate::{Host, agent_package};

/// A build under way: what every stage needs.
#[derive(Debug)]
pub(super) struct Stages<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) host: &'a Host,
    pub(super) store: Store,
    pub(super) lock: Lock,
    pub(super) keys: Keys,
    emulation: Emulation,
}

/// An image before it is compressed.
#[derive(Debug)]
pub(super) struct RawImage {
    pub(super) file: PathBuf,
    pub(super) report: Report,
    pub(super) kernel: String,
}

pub(super) fn bind(from: &Path, to: &str, writable: bool) -> Bind {
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
    kind: &'static str,
    packages: &[LockedPackage],
    sink: Sink<'_>,
) -> Result<PathBuf, BuildError> {
    let key = packages_key(kind, packages);
    if store.tree(&key).is_dir() {
        event::cached(sink, kind);
        store.note_use(&store.tree(&key));
        return Ok(store.tree(&key));
    }
    event::step(sink, kind, |sink| {
        make_tree(host, store, &key, |tree| {
            let task = base::Unpack {
                confinement: Confinement {
                    root: Root::Folder(tree.to_owned()),
                    binds: vec![bind(Vault::new(host).root(), ".bakelite/vault", false)],
                    emulator: None,
                },
                packages: package_files(packages),
                threads: host.threads,
            };
            work(host, kind, &Task::Unpack(task), sink).map(|_| ())
        })
    })
}

/// Returns the slowest scripts of the base tree, as measured when it was made.
pub(super) fn slow_scripts(base: &Path) -> Vec<(String, f64)> {
    let text = fs_err::read(base.with_extension("scripts.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

impl<'a> Stages<'a> {
    /// Opens the cache and gets the packages that are needed.
    pub(super) fn begin(
        recipe: &'a Recipe,
        host: &'a Host,
        options: &BuildOptions,
        lock: Lock,
        keys: Keys,
        sink: Sink<'_>,
    ) -> Result<Self, BuildError> {
        let stages = Self {
            recipe,
            host,
            store: super::open_store(host)?,
            lock,
            keys,
            emulation: options.emulation,
        };
        let needed = stages.keys.needed_packages(host, &stages.lock);
        event::step(sink, "packages", |sink| {
            Vault::new(host).fill(host, &Downloader::new()?, &needed, sink)?;
            Ok::<(), BuildError>(())
        })?;
        Ok(stages)
    }

    /// Returns the tree of the build's own tools.
    pub(super) fn tools(&self, sink: Sink<'_>) -> Result<PathBuf, BuildError> {
        self.unpacked("tools", &self.lock.tools, sink)
    }

    fn unpacked(
        &self,
        kind: &'static str,
        packages: &[LockedPackage],
        sink: Sink<'_>,
    ) -> Result<PathBuf, BuildError> {
        unpacked_tree(self.host, &self.store, kind, packages, sink)
    }

    /// What a worker needs to run the target's programs.
    pub(super) fn target(&self, root: Root, tools: &Path, more: Vec<Bind>) -> Confinement {
        let mut binds = vec![bind(tools, ".bakelite/tools", false)];
        binds.extend(more);
        let emulator = self
            .is_foreign()
            .then(|| tools.join("usr/bin/qemu-aarch64"));
        Confinement {
            root,
            binds,
            emulator,
        }
    }

    fn is_foreign(&self) -> bool {
        self.host.architecture != TARGET
    }

    /// Returns the tree of the distribution's packages, installed and configured.
    pub(super) fn base(&self, tools: &Path, sink: Sink<'_>) -> Result<PathBuf, BuildError> {
        let key = &self.keys.base;
        if self.store.tree(key).is_dir() {
            event::cached(sink, "base");
            self.store.note_use(&self.store.tree(key));
            return Ok(self.store.tree(key));
        }
        event::step(sink, "base", |sink| {
            let mut scripts = Vec::new();
            let tree = make_tree(self.host, &self.store, key, |tree| {
                let vault = bind(Vault::new(self.host).root(), ".bakelite/vault", false);
                let task = base::Base {
                    confinement: self.target(Root::Folder(tree.to_owned()), tools, vec![vault]),
                    packages: package_files(&self.lock.image),
                    threads: self.host.threads,
                    timestamp: self.lock.timestamp,
                    emulation: self.emulation,
                    foreign: self.is_foreign(),
                };
                let step = "installing the packages";
                scripts = work(self.host, step, &Task::Base(task), sink)?.script_seconds;
                Ok(())
            })?;
            let times = serde_json::to_vec(&scripts).expect("plain data");
            crate::store::write_atomically(&tree.with_extension("scripts.json"), &times)?;
            Ok(tree)
        })
    }

    /// Returns the agent's package, if the recipe has the agent.
    pub(super) fn agent(&self, sink: Sink<'_>) -> Result<Option<PathBuf>, BuildError> {
        let Some(key) = self.keys.agent else {
            return Ok(None);
        };
        if let Some(folder) = self.store.result(&key) {
            event::cached(sink, "agent");
            self.store.note_use(&folder);
            return Ok(Some(folder.join("bakelite-agent.deb")));
        }
        let trees = agent_package::Trees {
            toolchain: self.unpacked("toolchain", &self.lock.toolchain, sink)?,
            sysroot: self.unpacked("sysroot", &self.lock.sysroot, sink)?,
        };
        event::step(sink, "agent", |sink| {
            let folder = self.store.make_result(&key, |folder| {
                let project = &self.recipe.project;
                agent_package::build(self.host, project, &self.lock, &trees, folder, sink)
                    .map_err(BuildError::from)
            })?;
            Ok(Some(folder.join("bakelite-agent.deb")))
        })
    }

    /// Returns the initramfs file, unless the image has one of its own.
    pub(super) fn initramfs(
        &self,
        tools: &Path,
        base: &Path,
        sink: Sink<'_>,
    ) -> Result<Option<PathBuf>, BuildError> {
        let Some(key) = &self.keys.initramfs else {
            return Ok(None);
        };
        if let Some(folder) = self.store.result(key) {
            event::cached(sink, "initramfs");
            self.store.note_use(&folder);
            return Ok(Some(folder.join("initrd.img")));
        }
        event::step(sink, "initramfs", |sink| {
            let layer = self.store.partial("initramfs-layer");
            let folder = self
                .store
                .make_result(key, |folder| -> Result<(), BuildError> {
                    let (layers, mut binds) = layers(self.recipe, &self.lock, |path| {
                        INITRAMFS_FOLDERS.iter().any(|f| path.starts_with(f))
                    });
                    binds.push(bind(folder, ".bakelite/out", true));
                    let task = finish::Initramfs {
                        confinement: self.target(layered(base, &layer), tools, binds),
                        layers,
                        timestamp: self.lock.timestamp,
                        emulation: self.emulation,
                        foreign: self.is_foreign(),
                    };
                    let step = "making the initramfs";
                    work(self.host, step, &Task::Initramfs(task), sink).map(|_| ())
                });
            remove(self.host, vec![layer])?;
            Ok(Some(folder?.join("initrd.img")))
        })
    }

    /// Writes the image: agent and overlays on top of the base, then partitions.
    pub(super) fn image(
        &self,
        tools: &Path,
        base: &Path,
        agent: Option<&Path>,
        initramfs: Option<&Path>,
        sink: Sink<'_>,
    ) -> Result<RawImage, BuildError> {
        let layer = self.store.partial("finish-layer");
        let tree = layered(base, &layer);
        let kernel = event::step(sink, "overlays", |sink| {
            self.finish(tree.clone(), tools, agent, initramfs, sink)
        });
        let made = kernel.and_then(|kernel| {
            let folder = self.store.partial("image");
            fs_err::create_dir_all(&folder)?;
            let boot = self.recipe.boot();
            let task = image::Image {
                confinement: Confinement {
                    root: Root::Folder(tools.to_path_buf()),
                    binds: vec![bind(&folder, ".bakelite/out", true)],
                    emulator: None,
                },
                tree,
                image: Path::new(finish::OUT).join("disk.img"),
                form: self.form(),
                identities: self.identities(),
                timestamp: self.lock.timestamp,
                config: boot.config,
                kernel_arguments: boot.kernel_arguments,
                takes_settings: self.recipe.agent,
                device_trees: boot.device_trees,
                initramfs_modules: boot.initramfs_modules,
                threads: self.host.threads,
            };
            let answer = event::step(sink, "image", |sink| {
                work(self.host, "writing the image", &Task::Image(task), sink)
            })?;
            Ok(RawImage {
                file: folder.join("disk.img"),
                report: answer.image.unwrap_or_default(),
                kernel,
            })
        });
        remove(self.host, vec![layer])?;
        made
    }

    /// Folders that something is mounted on, in a root that cannot be written.
    fn mount_points(&self) -> Vec<PathBuf> {
        let overlays = self.recipe.overlays.iter();
        let kept = overlays.flat_map(|overlay| &overlay.keep.shared);
        let own = ["/data", "/boot/firmware"].into_iter().map(PathBuf::from);
        own.chain(kept.map(PathBuf::from)).collect()
    }

    fn form(&self) -> image::Form {
        let boot = u64::from(self.recipe.boot_mib) * MIB;
        match self.recipe.layout {
            Layout::Single => image::Form::Single {
                boot,
                free: u64::from(self.recipe.free_mib) * MIB,
            },
            Layout::Ab => image::Form::Ab {
                boot,
                root: u64::from(self.recipe.root_mib) * MIB,
            },
        }
    }

    /// Devices with two slots keep their ids when they are updated.
    fn identities(&self) -> Identities {
        match self.recipe.layout {
            Layout::Single => Identities::of(&self.recipe.name, &self.recipe.version),
            Layout::Ab => Identities::of(&self.recipe.name, "every version"),
        }
    }

    /// Puts agent, overlays and initramfs on top of the base. Returns the kernel's version.
    fn finish(
        &self,
        tree: Root,
        tools: &Path,
        agent: Option<&Path>,
        initramfs: Option<&Path>,
        sink: Sink<'_>,
    ) -> Result<String, BuildError> {
        let folder_of = |file: &Path| file.parent().unwrap_or(file).to_owned();
        let (layers, mut binds) = layers(self.recipe, &self.lock, |_| true);
        if let Some(initramfs) = initramfs {
            binds.push(bind(&folder_of(initramfs), ".bakelite/out", false));
        }
        let mut package = None;
        if let Some(agent) = agent {
            binds.push(bind(&folder_of(agent), ".bakelite/vault", false));
            let (sha256, size) = Sha256Digest::of_file(agent)?;
            package = Some(PackageFile {
                name: "bakelite-agent".into(),
                path: agent.file_name().unwrap_or_default().into(),
                sha256,
                installed_kib: size / 256,
            });
        }
        let task = finish::Finish {
            confinement: self.target(tree, tools, binds),
            agent: package,
            layers,
            timestamp: self.lock.timestamp,
            emulation: self.emulation,
            foreign: self.is_foreign(),
            initramfs: initramfs.map(|_| Path::new(finish::OUT).join("initrd.img")),
            folders: match self.recipe.layout {
                Layout::Single => Vec::new(),
                Layout::Ab => self.mount_points(),
            },
        };
        let answer = work(
            self.host,
            "applying the overlays",
            &Task::Finish(task),
            sink,
        )?;
        Ok(answer.kernel_version.unwrap_or_default())
    }
}

/// A base tree with a layer for changes on top.
pub(super) fn layered(base: &Path, layer: &Path) -> Root {
    Root::Layered {
        lower: base.to_owned(),
        layer: layer.to_owned(),
    }
}
