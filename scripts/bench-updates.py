#!/usr/bin/env python3
"""Second half of bench-updates, in its folder: what each way fetches, and what installing takes. The argument is the installer."""
import functools, hashlib, json, os, shutil, subprocess, sys

MIB = 1 << 20
VERSIONS = {"1.1.0": "only the agent", "1.2.0": "ten packages", "1.3.0": "a new kernel"}
# Which runs, which is installed, and which the other slot has: the one that runs, the one before that, one that was tried, or none.
DISKS = ["1.0.0 1.1.0 1.0.0", "1.0.0 1.2.0 1.0.0", "1.0.0 1.3.0 1.0.0", "1.1.0 1.2.0 1.0.0", "1.2.0 1.3.0 1.1.0", "1.0.0 1.1.0 1.3.0",
         "1.0.0 1.2.0 1.3.0", "1.0.0 1.3.0 1.2.0", "1.0.0 1.1.0 none", "1.0.0 1.2.0 none", "1.0.0 1.3.0 none"]
# Bytes that are read and written in a second: SD bus of 50 MHz (Pi 4, DDR50) and 25 MHz (Pi 3, Zero 2 W), a card of video speed class V20.
CARDS = {"Pi 4": (45_000_000, 20_000_000), "Zero 2 W": (22_000_000, 20_000_000)}
MANIFEST = "[update]\ncompatible=kvm\nversion=1\n[bundle]\nformat=verity\n[image.rootfs]\nfilename=slot.img\nadaptive=block-hash-index\n"

def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout

def pieces(path, size):
    return [hashlib.sha256(piece).digest() for piece in iter(functools.partial(open(path, "rb").read, size), b"")]

def partitions(image):
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]["partitions"]
    return {int(p["node"].split("img")[-1]): (p["start"] * 512, p["size"] * 512) for p in table}

def slot(version):
    """The root slot and the boot slot of an image, one behind the other."""
    table = partitions(f"{version}.img")
    with open(f"{version}.img", "rb") as disk, open(f"{version}.slot", "wb") as out:
        for start, size in (table[5], table[2]):
            disk.seek(start)
            out.write(disk.read(size).rstrip(b"\0"))
            out.seek(-out.tell() % MIB, 1)
        out.truncate()
    return f"{version}.slot"

def rauc(old, new):
    """RAUC's own index, as large as `rauc bundle` makes it, and the blocks that the old slot has not: no request is counted."""
    shutil.rmtree("rauc", ignore_errors=True)
    os.makedirs("rauc/in")
    os.link(new, "rauc/in/slot.img")
    with open("rauc/in/manifest.raucm", "w") as manifest:
        manifest.write(MANIFEST)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "rauc/key", "-out", "rauc/cert", "-subj", "/CN=x")
    run("rauc", "--cert", "rauc/cert", "--key", "rauc/key", "bundle", "rauc/in", "rauc/x.raucb")
    index = next(int(line.split()[2]) for line in run("unsquashfs", "-ll", "rauc/x.raucb").splitlines() if "hash-index" in line)
    return index + 4096 * len(set(pieces(new, 4096)) - set(pieces(old, 4096)))

def casync(old, new):
    shutil.rmtree("casync", ignore_errors=True)
    os.makedirs("casync")
    stores = []
    for name, file in (("old", old), ("new", new)):
        run("casync", "make", f"--store=casync/{name}.castr", f"casync/{name}.caibx", file)
        stores.append({f: os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(f"casync/{name}.castr") for f in files})
    return os.path.getsize("casync/new.caibx") + sum(size for name, size in stores[1].items() if name not in stores[0])

def patch_from(old, new):
    run("zstd", "-q", "-f", "-19", "--long=31", "-T1", f"--patch-from={old}", new, "-o", "whole.patch")
    return os.path.getsize("whole.patch")

def install(channel, running, version, other, *rates):
    """Installs onto a disk that runs one version; its other slot has the version `other`, or none."""
    run("cp", "--sparse=always", f"{running}.img", "disk.img")
    table = partitions("disk.img")
    for full, empty in () if other == "none" else ((5, 6), (2, 3)):
        (start, size), (to, _) = table[full], table[empty]
        run("dd", f"if={other}.img", "of=disk.img", "bs=1M", "conv=notrunc,sparse", "iflag=skip_bytes,count_bytes", "oflag=seek_bytes", f"skip={start}", f"count={size}", f"seek={to}")
    return json.loads(run(sys.argv[1], channel, "keys/1.root.json", running, version, "disk.img", other, "patches", *map(str, rates)))

old = slot("1.0.0")
print("change: bakelite (of it metadata), zstd -19 --patch-from, casync, RAUC, whole bundle; pieces of 1 MiB in place")
for version, kind in VERSIONS.items():
    new, ours = slot(version), install(f"to-{version}", "1.0.0", version, "1.0.0")
    whole = os.path.getsize(f"out/kvm/{version}/kvm-{version}.upd")
    row = [ours["looked"] + ours["fetched"], ours["looked"], patch_from(old, new), casync(old, new), rauc(old, new), whole]
    same = [one == other for one, other in zip(pieces(old, MIB), pieces(new, MIB))]
    print(f"{kind}: {', '.join(f'{size / MIB:.3f} MiB' for size in row)}; {sum(same)} of {len(same)}; {ours}", flush=True)
for card, (reads, writes) in CARDS.items():
    for running, version, other in map(str.split, DISKS):
        took = install("all", running, version, other, reads, writes)
        print(f"{card}: {running} to {version} over {other}: {took['seconds']:.1f} s, {took['seconds'] * writes / took['total']:.2f} times", flush=True)
