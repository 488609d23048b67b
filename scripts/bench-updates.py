#!/usr/bin/env python3
"""Second half of bench-updates, in its folder: what each way fetches, and what installing takes. The argument is the installer."""

import hashlib, json, os, shutil, subprocess, sys, time

CHUNK, MIB = 4096, 1 << 20
KINDS = {"1.1.0": "only the agent", "1.2.0": "ten packages", "1.3.0": "a new kernel"}


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout


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


def chunks(path):
    with open(path, "rb") as file:
        return {hashlib.sha256(chunk).digest() for chunk in iter(lambda: file.read(CHUNK), b"")}


def rauc(old, new):
    """RAUC's own index, as large as `rauc bundle` makes it, and the blocks that the old slot has not: no request is counted."""
    shutil.rmtree("rauc", ignore_errors=True)
    os.makedirs("rauc/in")
    os.link(new, "rauc/in/slot.img")
    with open("rauc/in/manifest.raucm", "w") as manifest:
        manifest.write("[update]\ncompatible=kvm\nversion=1\n[bundle]\nformat=verity\n"
                       "[image.rootfs]\nfilename=slot.img\nadaptive=block-hash-index\n")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "rauc/key", "-out", "rauc/cert", "-subj", "/CN=x")
    run("rauc", "--cert", "rauc/cert", "--key", "rauc/key", "bundle", "rauc/in", "rauc/x.raucb")
    listing = run("unsquashfs", "-ll", "rauc/x.raucb")
    index = next(int(line.split()[2]) for line in listing.splitlines() if "hash-index" in line)
    return index + CHUNK * len(chunks(new) - chunks(old))


def casync(old, new):
    shutil.rmtree("casync", ignore_errors=True)
    os.makedirs("casync")
    for name, file in (("old", old), ("new", new)):
        run("casync", "make", f"--store=casync/{name}.castr", f"casync/{name}.caibx", file)
    def store(name):
        return {f: os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(f"casync/{name}.castr") for f in files}
    have, need = store("old"), store("new")
    return os.path.getsize("casync/new.caibx") + sum(size for name, size in need.items() if name not in have)


def patch_from(old, new):
    run("zstd", "-q", "-f", "-19", "--long=31", "-T1", f"--patch-from={old}", new, "-o", "whole.patch")
    return os.path.getsize("whole.patch")


def install(version, how):
    run("cp", "--sparse=always", "1.0.0.img", "disk.img")
    run("sync", "disk.img")
    return json.loads(run(sys.argv[1], f"to-{version}", "keys/1.root.json", "1.0.0", version, "disk.img", how))


def write(version):
    """Seconds that writing the slot takes, and nothing else: in pieces of 1 MiB, flushed at the end."""
    run("cp", "--sparse=always", "1.0.0.img", "disk.img")
    run("sync", "disk.img")
    begun = time.monotonic()
    run("dd", f"if={version}.slot", "of=disk.img", "bs=1M", "seek=900", "conv=notrunc,fsync")
    return time.monotonic() - begun


old = slot("1.0.0")
print(f"slot: {os.path.getsize(old) / MIB:.1f} MiB, bundle {os.path.getsize('out/kvm/1.0.0/kvm-1.0.0.upd') / MIB:.1f} MiB\n")
print("| change | bakelite | of it metadata | zstd -19 --patch-from | casync | RAUC | whole bundle |\n| --- | --- | --- | --- | --- | --- | --- |")
for version, kind in KINDS.items():
    new = slot(version)
    ours = install(version, "patches")
    row = [ours["looked"] + ours["fetched"], ours["looked"], patch_from(old, new), casync(old, new), rauc(old, new),
           os.path.getsize(f"out/kvm/{version}/kvm-{version}.upd")]
    cells = [f"{size / MIB:.3f} MiB ({size / row[0]:.2f})" for size in row]
    print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    print(f"  patches: {ours}", flush=True)
for number in range(3):
    whole = install("1.3.0", "whole")
    print(f"  whole: {whole}; writing the slot alone {write('1.3.0'):.2f} s", flush=True)
