#!/usr/bin/env python3
"""usage: peak-memory COMMAND [ARGUMENT…]: runs it and prints the most memory that it and everything
it started held at one moment: the sum of their proportional set sizes (proc(5), smaps_rollup)."""
import os
import subprocess
import sys
import time


def parents():
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                found[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    return found


def kib(process):
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except OSError:
        return 0  # it ended meanwhile


child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
peak = 0
while child.poll() is None:
    known, family = parents(), {child.pid}
    while more := {p for p, parent in known.items() if parent in family} - family:
        family |= more
    peak = max(peak, sum(map(kib, family)))
    time.sleep(0.05)
print(f"{peak // 1024} MiB at most, all processes together")
sys.exit(child.returncode)
