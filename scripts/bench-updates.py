#!/usr/bin/env python3
"""Second half of bench-updates, in its folder: what each way fetches, and what installing takes. The argument is the installer."""
import hashlib, json, os, shutil, subprocess, sys, time

MIB = 1 << 20
MANIFEST = """[update]\ncompatible=kvm\nversion=1\n[bundle]\nformat=verity\n
[image.rootfs]\nfilename=slot.img\nadaptive=block-hash-index\n"""

def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout

def pieces(path, size):
    with open(path, "rb") as file:
        return [hashlib.sha256(piece).digest() for piece in iter(lambda: file.read(size), b"")]

def slot(version):
    """The root slot and the boot slot of an image, one behind the other."""
    table = json.loads(run("sfdisk", "--json", f"{version}.img"))["partitiontable"]["partitions"]
    with open(f"{version}.img", "rb") as disk, open(f"{version}.slot", "wb") as out:
        for number in (5, 2):
            part = next(p for p in table if p["node"].endswith(f"img{number}"))
            disk.seek(part["start"] * 512)
            out.write(disk.read(part["size"] * 512).rstrip(b"\0"))
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
    listing = run("unsquashfs", "-ll", "rauc/x.raucb").splitlines()
    index = next(int(line.split()[2]) for line in listing if "hash-index" in line)
    return index + 4096 * len(set(pieces(new, 4096)) - set(pieces(old, 4096)))

def casync(old, new):
    shutil.rmtree("casync", ignore_errors=True)
    os.makedirs("casync")
    stores = []
    for name, file in (("old", old), ("new", new)):
        run("casync", "make", f"--store=casync/{name}.castr", f"casync/{name}.caibx", file)
        walk = os.walk(f"casync/{name}.castr")
        stores.append({f: os.path.getsize(os.path.join(d, f)) for d, _, files in walk for f in files})
    return os.path.getsize("casync/new.caibx") + sum(size for name, size in stores[1].items() if name not in stores[0])

def patch_from(old, new):
    run("zstd", "-q", "-f", "-19", "--long=31", "-T1", f"--patch-from={old}", new, "-o", "whole.patch")
    return os.path.getsize("whole.patch")

def on_a_card(*words):
    """Runs something on a disk that was just written, and returns what it says and how long it took."""
    run("cp", "--sparse=always", "1.0.0.img", "disk.img")
    run("sync", "disk.img")
    begun = time.monotonic()
    return run(*words), time.monotonic() - begun

def install(version, how):
    return json.loads(on_a_card(sys.argv[1], f"to-{version}", "keys/1.root.json", "1.0.0", version, "disk.img", how)[0])

old = slot("1.0.0")
print("change: bakelite (of it metadata), zstd -19 --patch-from, casync, RAUC, whole bundle; pieces of 1 MiB in place")
for version, kind in {"1.1.0": "only the agent", "1.2.0": "ten packages", "1.3.0": "a new kernel"}.items():
    new, ours = slot(version), install(version, "patches")
    row = [ours["looked"] + ours["fetched"], ours["looked"], patch_from(old, new), casync(old, new), rauc(old, new),
           os.path.getsize(f"out/kvm/{version}/kvm-{version}.upd")]
    same = [one == other for one, other in zip(pieces(old, MIB), pieces(new, MIB))]
    print(f"{kind}: {', '.join(f'{size / MIB:.3f} MiB' for size in row)}; {sum(same)} of {len(same)}\n  {ours}", flush=True)
for _ in range(3):
    whole = install("1.3.0", "whole")
    _, alone = on_a_card("dd", "if=1.3.0.slot", "of=disk.img", "bs=1M", "seek=900", "conv=notrunc,fsync")
    print(f"whole: {whole}; writing the slot alone {alone:.2f} s", flush=True)
