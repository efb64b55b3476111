#!/usr/bin/env python3
"""floors.py - proves that the floors of src/ hold: a file includes only from its own folder and from lower floors.

Reads #include lines; prints each offence as FILE:LINE and exits with 1 if there is one."""
import pathlib
import re
import sys

FLOORS = [
    ["base"],
    ["codec", "net", "netlink"],
    ["store", "api", "image", "oci", "cni"],
    ["pod"],
    ["apiserver", "controller", "scheduler", "kubelet", "proxy", "dns", "monitor", "scan", "os", "console"],
    ["cmd"],
]
FLOOR_OF = {folder: n for n, floor in enumerate(FLOORS) for folder in floor}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+)/[^"]+"')


def main():
    bad = 0
    for path in sorted(pathlib.Path("src").rglob("*.[ch]*")):
        own = path.parts[1]
        if own not in FLOOR_OF:
            print(f"{path}: folder '{own}' is on no floor")
            bad += 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            to = found.group(1) if found else own
            if to == own or to not in FLOOR_OF:
                continue
            if FLOOR_OF[to] >= FLOOR_OF[own]:
                print(f"{path}:{number}: {own} may not include {to}/: it is not on a lower floor")
                bad += 1
    return 1 if bad else 0


sys.exit(main())
