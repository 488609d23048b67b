//! A flashing station in the virtual machine: Debian's kernel for this processor with its own drivers for USB disks
//! and SD cards, and `bakelite` as it was built. Disks are plugged in and out; what was written to them is
//! read here, from the files behind them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bakelite::{program, root, tool};

/// Drivers, and what they need.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "xhci-pci",
    "usb-storage",
    "sd_mod",
    "sdhci-pci",
    "mmc_block",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "dummy_hcd",
    "libcomposite",
    "usb_f_fs",
    "usb_f_mass_storage",
    "gadgetfs",
    "scsi_debug",
];
/// Those that are only loaded by a test.
const LATER: &[&str] = &["dummy_hcd", "scsi_debug"];
/// Says that a script ended.
const MARK: &str = "bakelite-station-says";

const INIT: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /run /ffs /mnt
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
for list in $(ls /modules/*.list); do
  case $list in LATER) continue ;; esac
  for module in $(cat $list); do insmod /modules/$module 2>/dev/null; done
done
mount -t configfs configfs /sys/kernel/config
export PATH=/bin HOME=/tmp
stty -F /dev/ttyS1 sane cols 100 rows 30
while [ ! -e /dev/vport0p1 ]; do sleep 0.1; done
exec 3<>/dev/vport0p1
echo ready >&3
cat <&3 | sh >&3 2>&1
";

/// A disk of the station.
#[derive(Debug, Clone, Copy)]
pub enum Drive<'a> {
    /// A USB stick: its name, and the port that it is in.
    Stick(&'a str, u8),
    /// The same, which takes so many bytes a second.
    SlowStick(&'a str, u8, u64),
    /// A card in a slot.
    Card(&'a str),
}

impl<'a> Drive<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Stick(name, _) | Self::SlowStick(name, ..) | Self::Card(name) => name,
        }
    }
}

/// A running station. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Station {
    machine: Child,
    folder: PathBuf,
    shell: BufReader<UnixStream>,
    control: BufReader<UnixStream>,
    /// The far end of `/dev/ttyS1`: what somebody sees and types there.
    pub terminal: UnixStream,
}

impl Station {
    /// Starts it with disks of 64 MiB full of old data, and files: path in the machine, and here.
    pub fn start(folder: &Path, drives: &[Drive<'_>], files: &[(&str, &Path)]) -> Self {
        let kernel = kernel();
        let initramfs = initramfs(folder, &kernel, files);
        let socket = |name: &str| {
            let path = folder.join(name);
            format!("unix:{},server=on,wait=off", path.display())
        };
        let mut machine = command("qemu-system-x86_64");
        machine
            .args([
                "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1536", "-smp", "2",
            ])
            .args([
                "-display",
                "none",
                "-vga",
                "none",
                "-nic",
                "none",
                "-no-reboot",
            ])
            .args(["-device", "qemu-xhci,id=xhci"])
            .args(["-append", "console=ttyS0 panic=-1 quiet 8250.nr_uarts=2"])
            .arg("-kernel")
            .arg(kernel.join("vmlinuz"))
            .arg("-initrd")
            .arg(initramfs)
            .arg("-serial")
            .arg(format!("file:{}", folder.join("console").display()))
            .args(["-serial", &socket("terminal"), "-qmp", &socket("control")])
            .args([
                "-device",
                "virtio-serial-pci",
                "-device",
                "virtserialport,chardev=shell",
            ])
            .args([
                "-chardev",
                &format!(
                    "socket,id=shell,path={},server=on,wait=off",
                    folder.join("shell").display()
                ),
            ]);
        for drive in drives {
            machine.args(drive_arguments(folder, *drive));
        }
        let log = std::fs::File::create(folder.join("qemu")).expect("a log");
        let machine = machine
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let machine = machine.expect("qemu-system-x86 is installed");
        let connect = |name: &str| await_socket(&folder.join(name));
        let mut station = Self {
            machine,
            folder: folder.to_owned(),
            shell: BufReader::new(connect("shell")),
            control: BufReader::new(connect("control")),
            terminal: connect("terminal"),
        };
        station.ask(r#"{"execute":"qmp_capabilities"}"#);
        station.await_line("ready", Duration::from_mins(5));
        let count = drives.len();
        station.must(&format!(
            "while [ $(ls -d /sys/block/sd? /sys/block/mmcblk? 2>/dev/null | wc -l) -lt {count} ]; do sleep 0.1; done"
        ));
        station
    }

    /// Runs a script as root. Returns its exit status and all that it says.
    pub fn run(&mut self, script: &str) -> (i32, String) {
        let script = format!("({script}\n) 2>&1; status=$?; echo; echo {MARK} $status\n");
        let stream = self.shell.get_mut();
        stream.write_all(script.as_bytes()).expect("a shell");
        let (said, last) = self.await_line(MARK, Duration::from_mins(5));
        let status = last.trim().rsplit(' ').next().unwrap_or_default();
        (status.parse().expect("a status"), said)
    }

    /// Runs a script that must do what it is for.
    pub fn must(&mut self, script: &str) -> String {
        let (status, said) = self.run(script);
        assert_eq!(status, 0, "{script}\nsays:\n{said}\n{}", self.console());
        said
    }

    fn await_line(&mut self, mark: &str, limit: Duration) -> (String, String) {
        let stream = self.shell.get_ref();
        stream
            .set_read_timeout(Some(limit))
            .expect("a plain socket");
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            let read = self.shell.read_until(b'\n', &mut line);
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(
                read.is_ok_and(|count| count > 0),
                "the station says nothing more:\n{said}\n{}",
                self.console()
            );
            if line.starts_with(mark) {
                return (said, line);
            }
            said += &line;
        }
    }

    fn console(&self) -> String {
        let read = |name: &str| fs_err::read(self.folder.join(name)).unwrap_or_default();
        let text = [read("console"), read("qemu")].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Asks QEMU.
    fn ask(&mut self, request: &str) {
        let stream = self.control.get_mut();
        writeln!(stream, "{request}").expect("QEMU is there");
        loop {
            let mut answer = String::new();
            let count = self.control.read_line(&mut answer).expect("QEMU answers");
            assert!(
                count > 0 && !answer.contains("\"error\""),
                "{request}: {answer}"
            );
            if answer.contains("\"return\"") {
                return;
            }
        }
    }

    /// Pulls a stick out, whatever is being written to it.
    pub fn unplug(&mut self, name: &str) {
        self.ask(&format!(
            r#"{{"execute":"device_del","arguments":{{"id":"{name}"}}}}"#
        ));
    }

    /// Plugs a stick in again, at any port.
    pub fn plug(&mut self, name: &str, port: u8) {
        self.ask(&format!(
            r#"{{"execute":"device_add","arguments":{{"driver":"usb-storage","bus":"xhci.0","port":"{port}","drive":"d-{name}","serial":"{name}","id":"{name}"}}}}"#
        ));
    }

    /// Returns what a disk holds.
    pub fn disk(&self, name: &str) -> Vec<u8> {
        fs_err::read(self.folder.join(name)).expect("a disk")
    }

    /// Reads what is shown on the terminal until it has a text.
    pub fn see(&mut self, text: &str) -> String {
        let until = Instant::now() + Duration::from_mins(2);
        let wait = Some(Duration::from_millis(500));
        self.terminal
            .set_read_timeout(wait)
            .expect("a plain socket");
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let seen_text = String::from_utf8_lossy(&seen);
            assert!(
                Instant::now() < until,
                "“{text}” is not shown:\n{seen_text}"
            );
            let mut bytes = [0; 4096];
            if let Ok(count) = self.terminal.read(&mut bytes) {
                seen.extend(&bytes[..count]);
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Types on the terminal.
    pub fn type_in(&mut self, text: &str) {
        self.terminal
            .write_all(text.as_bytes())
            .expect("a terminal");
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        drop(self.machine.kill());
        drop(self.machine.wait());
    }
}

/// Nodes of their own, so that a disk outlives its device: it may be plugged in again.
fn drive_arguments(folder: &Path, drive: Drive<'_>) -> Vec<String> {
    let name = drive.name();
    let file = folder.join(name);
    fs_err::write(&file, vec![0xaa; 64 << 20]).expect("a disk");
    let node = format!("driver=file,node-name=f-{name},filename={}", file.display());
    let mut all = vec!["-blockdev".to_owned(), node];
    let rest = match drive {
        Drive::Stick(name, port) => vec![
            format!("-blockdev driver=raw,node-name=d-{name},file=f-{name}"),
            format!(
                "-device usb-storage,bus=xhci.0,port={port},drive=d-{name},serial={name},id={name}"
            ),
        ],
        Drive::SlowStick(name, port, rate) => vec![
            format!("-object throttle-group,id=t-{name},x-bps-write={rate}"),
            format!(
                "-blockdev driver=throttle,node-name=d-{name},throttle-group=t-{name},file=f-{name}"
            ),
            format!(
                "-device usb-storage,bus=xhci.0,port={port},drive=d-{name},serial={name},id={name}"
            ),
        ],
        Drive::Card(name) => vec![
            format!("-blockdev driver=raw,node-name=d-{name},file=f-{name}"),
            "-device sdhci-pci".to_owned(),
            format!("-device sd-card,drive=d-{name}"),
        ],
    };
    let words = rest.iter().flat_map(|pair| pair.split(' '));
    all.extend(words.map(str::to_owned));
    all
}

fn await_socket(path: &Path) -> UnixStream {
    for _ in 0..200 {
        if let Ok(stream) = UnixStream::connect(path) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("QEMU does not open {}", path.display());
}

#[expect(clippy::disallowed_methods, reason = "tests start programs")]
fn command(name: &str) -> Command {
    Command::new(name)
}

/// Runs a shell script of the harness, which must do what it is for.
fn script(text: &str, arguments: &[&Path]) -> String {
    let arguments = arguments.iter().map(|path| path.to_str().expect("UTF-8"));
    let all: Vec<&str> = ["-euc", text, "sh"].into_iter().chain(arguments).collect();
    let (good, said) = tool("sh", &all);
    assert!(good, "{text}\nsays:\n{said}");
    said
}

/// Unpacks Debian's kernel for this processor, once: the kernel, and modules with what they need, in order.
fn kernel() -> PathBuf {
    let folder = root().join("target/tests/station");
    fs_err::create_dir_all(root().join("target/tests")).expect("a folder");
    // Tests of other processes may want it in the same moment.
    let lock = std::fs::File::create(folder.with_extension("lock")).expect("a lock");
    lock.lock().expect("a lock");
    if folder.is_dir() {
        return folder;
    }
    let partial = folder.with_extension("partial");
    drop(fs_err::remove_dir_all(&partial));
    fs_err::create_dir_all(&partial).expect("a folder");
    script(
        r#"cd "$1"
        name() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p' | head -n 1; }
        [ -n "$(name)" ] || apt-get update -qq
        apt-get download -qq "$(name)" || { apt-get update -qq; apt-get download -qq "$(name)"; }
        dpkg-deb -x linux-image-*.deb tree
        rm linux-image-*.deb
        mv tree/boot/vmlinuz-* vmlinuz
        depmod -b tree "$(ls tree/lib/modules)"
        mkdir modules"#,
        &[&partial],
    );
    for (number, module) in MODULES.iter().enumerate() {
        let said = script(
            r#"modprobe -d "$1/tree" -S "$(ls "$1/tree/lib/modules")" --show-depends "$2" | sed -n 's/^insmod \([^ ]*\).*/\1/p'"#,
            &[&partial, Path::new(module)],
        );
        let mut list = String::new();
        for file in said.lines().map(Path::new) {
            let name = file.file_name().expect("a module").to_string_lossy();
            fs_err::copy(file, partial.join("modules").join(&*name)).expect("a module");
            list += &format!("{name}\n");
        }
        let list_name = format!("{number:02}-{module}.list");
        fs_err::write(partial.join("modules").join(list_name), list).expect("a list");
    }
    fs_err::remove_dir_all(partial.join("tree")).expect("a folder");
    fs_err::rename(&partial, &folder).expect("a folder");
    folder
}

/// Packs what the machine starts with.
fn initramfs(folder: &Path, kernel: &Path, files: &[(&str, &Path)]) -> PathBuf {
    let tree = folder.join("tree");
    let bin = tree.join("bin");
    fs_err::create_dir_all(&bin).expect("a folder");
    let later: Vec<String> = LATER.iter().map(|name| format!("*-{name}.list")).collect();
    fs_err::write(tree.join("init"), INIT.replace("LATER", &later.join("|"))).expect("a file");
    script(
        r#"chmod 755 "$1/init"
        cp -r "$2/modules" "$1/modules"
        cp "$(command -v busybox)" "$1/bin/busybox"
        shift 2
        tree=$(dirname "$1"); shift
        for program; do
          cp "$program" "$tree/bin/"
          ldd "$program" | sed -n 's/.* \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
            mkdir -p "$tree$(dirname "$library")"
            cp -L "$library" "$tree$library"
          done
        done"#,
        &[&tree, kernel, &bin, &program()],
    );
    for (path, file) in files {
        let to = tree.join(path.trim_start_matches('/'));
        fs_err::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs_err::copy(file, to).expect("a file");
    }
    script(
        r#"cd "$1" && find . | cpio --quiet -o -H newc > ../initramfs"#,
        &[&tree],
    );
    fs_err::remove_dir_all(tree).expect("a folder");
    folder.join("initramfs")
}
