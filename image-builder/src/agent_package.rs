//! Builds the agent for the target and packs it as a Debian package.
//!
//! Cargo runs in the toolchain tree: compiler driver, linker and the target's libraries come from
//! locked packages, sources and registry show at fixed paths. The bytes depend neither on the host
//! nor on the folder.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use content_digest::{DigestBuilder, Sha256Digest};

use crate::Host;
use crate::event::Sink;
use crate::host::RustTools;
use crate::lock::{Lock, LockedPackage};
use crate::pipeline::Inputs;
use crate::sandbox::{self, Bind, Confinement, Network, Root, SandboxError};
use crate::worker::{Task, program};

/// Rust's name of the target.
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
/// Folders and files of the workspace that decide the agent's bytes.
const SOURCES: &[&str] = &["agent", "formats", "Cargo.toml", "Cargo.lock"];

/// The programs: place in the tree, crate, options of the compiler. What the kernel starts finds no libraries yet.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("usr/bin/bakelite-agent", "bakelite-agent", &[]),
    (
        crate::initramfs::INIT,
        "bakelite-init",
        &["-Ctarget-feature=+crt-static"],
    ),
];

/// The agent could not be built.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No Rust compiler was found.
    #[error("the recipe has the agent in it, but no Rust compiler was found")]
    NoRust,
    /// The compiler lacks the target's standard library.
    #[error("the Rust toolchain {sysroot} has no standard library for {TRIPLE}")]
    NoTarget {
        /// The toolchain.
        sysroot: String,
    },
    /// Reading sources or writing the package failed.
    #[error("cannot read the agent's sources or write its package")]
    Io(#[source] io::Error),
    /// Crates could not be fetched.
    #[error("cargo cannot fetch the agent's crates:\n{output}")]
    Fetch {
        /// What cargo said.
        output: String,
    },
    /// The worker failed.
    #[error("cannot run the cross compiler")]
    Sandbox(#[source] SandboxError),
    /// The compiler failed.
    #[error("the agent does not compile; the end of the output:\n{output}")]
    Compile {
        /// The end of cargo's output.
        output: String,
    },
}

/// Returns everything that decides the agent's package.
pub fn inputs(project: &Path, lock: &Lock, rust: Option<&RustTools>) -> Result<Inputs, AgentError> {
    let mut inputs = Inputs::new("agent 7");
    inputs.add("the compiler", &rust.ok_or(AgentError::NoRust)?.version);
    for package in lock.toolchain.iter().chain(&lock.sysroot) {
        inputs.add(
            format!("package {}", package.name),
            package.sha256.as_bytes(),
        );
    }
    for source in SOURCES {
        add_folder(&mut inputs, project, &project.join(source)).map_err(AgentError::Io)?;
    }
    Ok(inputs)
}

fn add_folder(inputs: &mut Inputs, project: &Path, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs_err::read_dir(path)?
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            add_folder(inputs, project, &entry)?;
        }
    } else {
        let name = path.strip_prefix(project).expect("below the project");
        inputs.add(name.to_string_lossy(), fs_err::read(path)?);
    }
    Ok(())
}

/// Trees that the compiler runs in.
#[derive(Debug)]
pub struct Trees {
    /// Compiler driver and linker.
    pub toolchain: PathBuf,
    /// The target's headers and libraries.
    pub sysroot: PathBuf,
}

/// Compiles the agent and writes `bakelite-agent.deb` into `folder`.
pub fn build(
    host: &Host,
    project: &Path,
    lock: &Lock,
    trees: &Trees,
    folder: &Path,
    sink: Sink<'_>,
) -> Result<(), AgentError> {
    let rust = host.rust.as_ref().ok_or(AgentError::NoRust)?;
    if !rust
        .sysroot
        .join("lib/rustlib")
        .join(TRIPLE)
        .join("lib")
        .is_dir()
    {
        return Err(AgentError::NoTarget {
            sysroot: rust.sysroot.display().to_string(),
        });
    }
    let target = host.cache_folder("agent-target");
    fs_err::create_dir_all(&target).map_err(AgentError::Io)?;
    let fetched = Fetched::find(rust, project, &target).map_err(AgentError::Io)?;
    if !fetched.is_known {
        fetched.fetch(rust, project)?;
    }
    let mut binaries = BTreeMap::new();
    for (place, name, options) in PROGRAMS {
        let mut compiled = compile(host, project, lock, trees, &target, (name, options), sink)?;
        if compiled.is_err() && fetched.is_known {
            // Somebody may have tidied cargo's folder since.
            fetched.fetch(rust, project)?;
            compiled = compile(host, project, lock, trees, &target, (name, options), sink)?;
        }
        compiled.map_err(|output| AgentError::Compile { output })?;
        let binary = target.join(TRIPLE).join("device").join(name);
        let bytes = fs_err::read(binary).map_err(AgentError::Io)?;
        binaries.insert((*place).to_owned(), (bytes, 0o755));
    }
    let deb = pack(project, lock, binaries).map_err(AgentError::Io)?;
    fs_err::write(folder.join("bakelite-agent.deb"), deb).map_err(AgentError::Io)
}

/// Runs cargo in the toolchain tree. The inner error is the end of its output.
fn compile(
    host: &Host,
    project: &Path,
    lock: &Lock,
    trees: &Trees,
    target: &Path,
    (program, options): (&str, &[&str]),
    sink: Sink<'_>,
) -> Result<Result<(), String>, AgentError> {
    let rust = host.rust.as_ref().ok_or(AgentError::NoRust)?;
    let log = target.join("build.log");
    drop(fs_err::remove_file(&log));
    let bind = |from: &Path, to: &str, writable| Bind {
        from: from.to_owned(),
        to: to.into(),
        writable,
    };
    let run = program::Run {
        confinement: Confinement {
            root: Root::Folder(trees.toolchain.clone()),
            binds: vec![
                bind(&trees.sysroot, "sysroot", false),
                bind(project, "src", false),
                bind(&rust.cargo_home, "cargo", true),
                bind(&rust.sysroot, "rust", false),
                bind(target, "target", true),
            ],
            emulator: None,
        },
        command: [
            "/rust/bin/cargo",
            "rustc",
            "--offline",
            "--locked",
            "--profile",
            "device",
            "--package",
            program,
            "--bin",
            program,
            "--target",
            TRIPLE,
            "--",
        ]
        .iter()
        .chain(options)
        .map(|word| (*word).to_owned())
        .collect(),
        environment: environment(rust, lock.timestamp),
        folder: "/src".into(),
        log: Some("/target/build.log".into()),
    };
    let answer =
        sandbox::run(host, Network::None, &Task::Run(run), sink).map_err(AgentError::Sandbox)?;
    if answer.exit_code == Some(0) {
        return Ok(Ok(()));
    }
    let text = fs_err::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    Ok(Err(lines[lines.len().saturating_sub(40)..].join("\n")))
}

fn environment(rust: &RustTools, timestamp: i64) -> BTreeMap<String, String> {
    // Wherever cargo keeps crates, the compiler sees them at one path.
    let registries = fs_err::read_dir(rust.cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
        .flatten();
    let mut flags: Vec<String> = registries
        .map(|entry| {
            format!(
                "--remap-path-prefix=/cargo/registry/src/{}=/registry",
                entry.file_name().to_string_lossy()
            )
        })
        .collect();
    flags.sort();
    flags.push("-Clink-arg=--sysroot=/sysroot".into());
    let flags = flags.join("\x1f");
    let timestamp = timestamp.to_string();
    [
        ("PATH", "/rust/bin:/usr/bin"),
        ("HOME", "/tmp"),
        ("CARGO_HOME", "/cargo"),
        ("CARGO_TARGET_DIR", "/target"),
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        ),
        ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "gcc"),
        ("CARGO_ENCODED_RUSTFLAGS", &flags),
        ("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc"),
        ("CFLAGS_aarch64_unknown_linux_gnu", "--sysroot=/sysroot"),
        ("HOST_CC", "gcc"),
        // Where OpenSSL's headers and libraries are, without a pkg-config for the target.
        ("OPENSSL_INCLUDE_DIR", "/sysroot/usr/include"),
        ("OPENSSL_LIB_DIR", "/sysroot/usr/lib/aarch64-linux-gnu"),
        ("SOURCE_DATE_EPOCH", &timestamp),
        ("LC_ALL", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Whether the crates of this `Cargo.lock` were fetched before.
struct Fetched {
    stamp: PathBuf,
    key: String,
    is_known: bool,
}

impl Fetched {
    fn find(rust: &RustTools, project: &Path, target: &Path) -> io::Result<Self> {
        let key = DigestBuilder::new()
            .part(fs_err::read(project.join("Cargo.lock"))?)
            .part(fs_err::read(project.join("Cargo.toml"))?)
            .part(rust.cargo_home.as_os_str().as_encoded_bytes())
            .finish()
            .to_string();
        let stamp = target.join("fetched");
        let is_known = fs_err::read_to_string(&stamp).is_ok_and(|known| known == key);
        Ok(Self {
            stamp,
            key,
            is_known,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "cargo is the host's, and fetching needs its network and settings"
    )]
    fn fetch(&self, rust: &RustTools, project: &Path) -> Result<(), AgentError> {
        let output = std::process::Command::new(rust.sysroot.join("bin/cargo"))
            .args(["fetch", "--locked", "--target", TRIPLE, "--manifest-path"])
            .arg(project.join("Cargo.toml"))
            .env("CARGO_HOME", &rust.cargo_home)
            .output()
            .map_err(AgentError::Io)?;
        if !output.status.success() {
            return Err(AgentError::Fetch {
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        fs_err::write(&self.stamp, &self.key).map_err(AgentError::Io)
    }
}

/// Packs the programs with the files of `agent/package/` as a Debian package (deb(5)).
fn pack(
    project: &Path,
    lock: &Lock,
    mut files: BTreeMap<String, (Vec<u8>, u32)>,
) -> io::Result<Vec<u8>> {
    let package = project.join("agent/package");
    let root = package.join("files");
    let mut pending = vec![root.clone()];
    while let Some(folder) = pending.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(&root)
                    .expect("walked from the root")
                    .display()
                    .to_string();
                files.insert(name, (fs_err::read(&path)?, 0o644));
            }
        }
    }
    let installed = files
        .values()
        .map(|(bytes, _)| bytes.len().div_ceil(1024))
        .sum::<usize>();
    let libc = lock
        .sysroot
        .iter()
        .find(|p| p.name == "libc6")
        .map_or("2.36", |p| p.version.without_epoch());
    let libc = libc.split('-').next().unwrap_or(libc);
    let control = fs_err::read_to_string(package.join("control"))?
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@LIBC@", libc)
        .replace("@SIZE@", &installed.to_string());
    let mut control_files = BTreeMap::new();
    control_files.insert("control".to_owned(), (control.into_bytes(), 0o644));
    // What an administrator may have changed is kept by dpkg.
    let settings = files.keys().filter(|name| name.starts_with("etc/"));
    let settings: Vec<String> = settings.map(|name| format!("/{name}\n")).collect();
    if !settings.is_empty() {
        let list = settings.concat().into_bytes();
        control_files.insert("conffiles".to_owned(), (list, 0o644));
    }
    for script in ["postinst", "prerm", "postrm"] {
        if let Ok(bytes) = fs_err::read(package.join(script)) {
            control_files.insert(script.to_owned(), (bytes, 0o755));
        }
    }
    let control = zstd::encode_all(&tarball(&control_files, lock.timestamp)?[..], 3)?;
    let data = zstd::encode_all(&tarball(&files, lock.timestamp)?[..], 3)?;
    let mut deb = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar.zst", &control),
        ("data.tar.zst", &data),
    ] {
        writeln!(
            deb,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            lock.timestamp,
            0,
            0,
            "100644",
            bytes.len()
        )?;
        deb.write_all(bytes)?;
        if bytes.len() % 2 == 1 {
            deb.push(b'\n');
        }
    }
    Ok(deb)
}

/// Makes a tarball as dpkg-deb does: names begin with `./`, folders come before their files, all of
/// it belongs to root.
fn tarball(files: &BTreeMap<String, (Vec<u8>, u32)>, timestamp: i64) -> io::Result<Vec<u8>> {
    let mut entries: BTreeMap<String, Option<&(Vec<u8>, u32)>> =
        BTreeMap::from([("./".to_owned(), None)]);
    for (name, file) in files {
        for (at, _) in name.match_indices('/') {
            entries.insert(format!("./{}", &name[..=at]), None);
        }
        entries.insert(format!("./{name}"), Some(file));
    }
    let mut builder = tar::Builder::new(Vec::new());
    for (name, file) in entries {
        let mut header = tar::Header::new_gnu();
        // The crate's own setter takes the `./` away.
        let field = &mut header.as_gnu_mut().expect("made as GNU").name;
        let room = field
            .get_mut(..name.len())
            .ok_or_else(|| io::Error::other(format!("{name} is too long for a package")))?;
        room.copy_from_slice(name.as_bytes());
        header.set_entry_type(if file.is_some() {
            tar::EntryType::Regular
        } else {
            tar::EntryType::Directory
        });
        header.set_mode(file.map_or(0o755, |(_, mode)| *mode));
        header.set_size(file.map_or(0, |(bytes, _)| bytes.len() as u64));
        header.set_mtime(u64::try_from(timestamp).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append(&header, file.map_or(&[][..], |(bytes, _)| bytes))?;
    }
    builder.into_inner()
}

/// Describes the agent's package as a locked one, for bills of materials.
pub fn as_locked(digest: Sha256Digest, size: u64) -> LockedPackage {
    LockedPackage {
        name: "bakelite-agent".into(),
        version: env!("CARGO_PKG_VERSION")
            .parse()
            .expect("the crate's version is a Debian version too"),
        architecture: crate::lock::TARGET.into(),
        archive: "workspace".into(),
        path: "bakelite-agent.deb".into(),
        size,
        sha256: digest,
        source: "bakelite".into(),
        source_version: env!("CARGO_PKG_VERSION").into(),
        installed_kib: size / 256,
        seen: String::new(),
        mirror: None,
    }
}
