//! Trees made of packages.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use apt_repository::{control, relation};
use serde::{Deserialize, Serialize};

use super::{Answer, TaskError, confine};
use crate::dpkg::{Installer, PackageFile, Scripts};
use crate::event::Event;
use crate::initramfs;
use crate::overlay;
use crate::sandbox::{self, Confinement, Natives};
use crate::unpack::{Archive, Tree};

/// Where the vault shows in a confined tree.
pub const VAULT: &str = "/.bakelite/vault";
/// Commands whose work is done once, natively, at the end (initramfs), or that look at the build
/// machine (the firmware hook): they do nothing while packages are installed.
const STUBBED: &[&str] = &[
    "/usr/sbin/update-initramfs",
    "/etc/kernel/postinst.d/z50-raspi-firmware",
    "/etc/initramfs/post-update.d/z50-raspi-firmware",
];

/// Whether scripts may run native programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emulation {
    /// Native programs of the same release stand in where that makes no difference.
    Accelerated,
    /// Everything is emulated: the reference.
    Strict,
}

/// Unpacks packages, no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unpack {
    /// What the worker sees.
    pub confinement: Confinement,
    /// The packages.
    pub packages: Vec<PackageFile>,
    /// Threads to use.
    pub threads: usize,
}

impl Unpack {
    pub(super) fn work(self, _sink: &(dyn Fn(Event) + Sync)) -> Result<Answer, TaskError> {
        confine(&self.confinement)?;
        let installer = Installer::for_new_tree(PathBuf::from(VAULT), 0, self.threads);
        let archives = installer.open(&self.packages)?;
        let mut tree = Tree::default();
        tree.unpack(archives, self.threads, &|_| {})?;
        tree.settle_folders()?;
        sandbox::umount_all()?;
        tree.settle_mounted()?;
        Ok(Answer::default())
    }
}

/// Installs packages into an empty tree.
#[derive(Debug, Serialize, Deserialize)]
pub struct Base {
    /// What the worker sees.
    pub confinement: Confinement,
    /// The packages.
    pub packages: Vec<PackageFile>,
    /// Threads to use.
    pub threads: usize,
    /// What scripts take for now.
    pub timestamp: i64,
    /// Native programs or not.
    pub emulation: Emulation,
    /// Whether the target's programs must be emulated at all.
    pub foreign: bool,
}

impl Base {
    pub(super) fn work(self, sink: &(dyn Fn(Event) + Sync)) -> Result<Answer, TaskError> {
        confine(&self.confinement)?;
        let total = self.packages.len() as u64;
        let progress = |before: usize| {
            move |done: usize| {
                sink(Event::Progress {
                    done: (before + done) as u64,
                    total,
                    unit: "packages".into(),
                });
            }
        };
        let mut installer =
            Installer::for_new_tree(PathBuf::from(VAULT), self.timestamp, self.threads);
        let mut rounds = rounds(installer.open(&self.packages)?).into_iter();
        let first = rounds.next().unwrap_or_default();
        let (mut count, mut natives) = (first.len(), Natives::default());
        let accelerate = self.foreign && self.emulation == Emulation::Accelerated;

        let names = installer.unpack_first_round(first, &progress(0))?;
        sandbox::mount_run()?;
        forbid_services()?;
        if accelerate {
            natives.show()?;
        }
        installer.configure_first_round(&names)?;
        let mut stubs = Stubs::default();
        let mut modules = None;
        for round in rounds {
            let next = count + round.len();
            let names = installer.unpack_round(round, &progress(count))?;
            if accelerate {
                natives.show()?;
            }
            stubs.show()?;
            if modules.is_none() && accelerate && kernel_version().is_some() {
                modules = Some(ModuleIndex::start(self.timestamp)?);
            }
            installer.configure_round(&names)?;
            count = next;
        }

        if let Some(modules) = modules {
            modules.wait()?;
        }
        stubs.hide()?;
        natives.hide()?;
        overlay::clean()?;
        for path in overlay::OF_THE_BUILD_MACHINE {
            drop(fs_err::remove_file(path));
        }
        sandbox::umount_all()?;
        // Folders that were mounted over get their owner and mode only now.
        installer.settle_mounted()?;
        if let Some(first) = initramfs::foreign_elf_in_tree(Path::new("/"))?
            .into_iter()
            .next()
        {
            return Err(Box::new(first));
        }
        overlay::clamp_times(Path::new("/"), self.timestamp)?;
        let mut times = installer.scripts.times;
        times.sort_by(|a, b| b.1.total_cmp(&a.1));
        times.truncate(20);
        Ok(Answer {
            script_seconds: times,
            kernel_version: kernel_version(),
            ..Answer::default()
        })
    }
}

fn kernel_versions() -> Vec<String> {
    let names = fs_err::read_dir("/lib/modules")
        .into_iter()
        .flatten()
        .flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Returns the version of the newest kernel in the tree.
pub fn kernel_version() -> Option<String> {
    kernel_versions().into_iter().max()
}

/// Splits the packages into rounds: the essential ones with all that they depend on; then what
/// others pre-depend on, which must be configured before their preinst runs; then the rest.
fn rounds(archives: Vec<Archive>) -> Vec<Vec<Archive>> {
    let facts: Vec<Facts> = archives.iter().map(Facts::of).collect();
    let essential: Vec<usize> = (0..facts.len())
        .filter(|index| facts[*index].essential)
        .collect();
    let first = closure(&facts, essential);
    let mut done = first.clone();
    let mut order = vec![first];
    while done.len() < facts.len() {
        let mut round: BTreeSet<usize> = (0..facts.len())
            .filter(|index| !done.contains(index))
            .collect();
        // Narrow down to what must come before the others, as long as that is less.
        loop {
            let groups = round.iter().flat_map(|index| &facts[*index].pre_depends);
            let wanted = groups.flat_map(|group| satisfying(&facts, group)).collect();
            let before: BTreeSet<usize> =
                closure(&facts, wanted).difference(&done).copied().collect();
            if before.is_empty() || before.len() >= round.len() {
                break;
            }
            round = before;
        }
        done.extend(&round);
        order.push(round);
    }
    let mut slots: Vec<Option<Archive>> = archives.into_iter().map(Some).collect();
    let take = |index: usize, slots: &mut Vec<Option<Archive>>| {
        slots[index].take().expect("rounds do not overlap")
    };
    order
        .into_iter()
        .map(|round| {
            round
                .into_iter()
                .map(|index| take(index, &mut slots))
                .collect()
        })
        .collect()
}

fn satisfying(facts: &[Facts], group: &[String]) -> Vec<usize> {
    let satisfies = |fact: &Facts| {
        group
            .iter()
            .any(|name| fact.name == *name || fact.provides.contains(name))
    };
    (0..facts.len())
        .filter(|index| satisfies(&facts[*index]))
        .collect()
}

fn closure(facts: &[Facts], mut queue: Vec<usize>) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    while let Some(index) = queue.pop() {
        if chosen.insert(index) {
            let groups = facts[index].pre_depends.iter().chain(&facts[index].depends);
            queue.extend(groups.flat_map(|group| satisfying(facts, group)));
        }
    }
    chosen
}

struct Facts {
    name: String,
    essential: bool,
    provides: Vec<String>,
    pre_depends: Vec<Vec<String>>,
    depends: Vec<Vec<String>>,
}

impl Facts {
    fn of(archive: &Archive) -> Self {
        let text = String::from_utf8_lossy(&archive.deb.control()["control"]).into_owned();
        let stanza = control::stanzas(&text)
            .next()
            .and_then(Result::ok)
            .unwrap_or_default();
        let names = |field| {
            let groups = relation::parse(stanza.get(field).unwrap_or_default()).unwrap_or_default();
            groups
                .into_iter()
                .map(|group| group.0.into_iter().map(|r| r.name).collect())
                .collect::<Vec<Vec<String>>>()
        };
        Self {
            name: archive.name.clone(),
            essential: stanza.get("Essential") == Some("yes"),
            provides: names("Provides").concat(),
            pre_depends: names("Pre-Depends"),
            depends: names("Depends"),
        }
    }
}

/// Nothing may start services in the tree (policy-rc.d of invoke-rc.d(8)); removed by `clean`.
fn forbid_services() -> io::Result<()> {
    let path = overlay::POLICY;
    fs_err::write(path, "#!/bin/sh\nexit 101\n")?;
    fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// `depmod`, which the kernel's postinst waits seconds for, run beside the other scripts. Its result
/// depends on the kernel's own files only, which are all there by then; the postinst gets a stub.
struct ModuleIndex(std::thread::JoinHandle<Result<(), crate::dpkg::ScriptError>>);

impl ModuleIndex {
    fn start(timestamp: i64) -> Result<Self, TaskError> {
        let stub = Path::new("/.bakelite/bin/depmod");
        fs_err::create_dir_all("/.bakelite/bin")?;
        fs_err::write(stub, "#!/bin/sh\nexit 0\n")?;
        fs_err::set_permissions(stub, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let scripts = Scripts::new(timestamp).with_log("/.bakelite/depmod.log");
        let versions: Vec<String> = kernel_versions();
        Ok(Self(std::thread::spawn(move || {
            for version in versions {
                scripts.run(
                    Path::new("/usr/sbin/depmod"),
                    &[&version],
                    &[],
                    "kmod",
                    "depmod",
                )?;
            }
            Ok(())
        })))
    }

    fn wait(self) -> Result<(), TaskError> {
        Ok(self
            .0
            .join()
            .map_err(|_panic| "depmod's thread ended early")??)
    }
}

/// Programs that do nothing for a while.
#[derive(Debug, Default)]
struct Stubs {
    shown: Vec<&'static Path>,
}

impl Stubs {
    fn show(&mut self) -> Result<(), TaskError> {
        let stub = Path::new("/.bakelite/stub");
        fs_err::write(stub, "#!/bin/sh\nexit 0\n")?;
        fs_err::set_permissions(stub, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        for path in STUBBED.iter().map(Path::new).filter(|path| path.exists()) {
            if !self.shown.contains(&path) {
                nix::mount::mount(
                    Some(stub),
                    path,
                    None::<&str>,
                    nix::mount::MsFlags::MS_BIND,
                    None::<&str>,
                )?;
                self.shown.push(path);
            }
        }
        Ok(())
    }

    fn hide(self) -> Result<(), TaskError> {
        for path in self.shown {
            nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH)?;
        }
        Ok(())
    }
}
