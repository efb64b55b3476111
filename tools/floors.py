#!/usr/bin/env python3
"""floors.py [BUILD] - proves that the floors of src/ hold: a file includes only from its own folder and from lower floors.
The monitor, which is large, has floors of its own between its folders. With a build folder, also that no files of the
folders in NO_CIRCLES need each other in a circle: by the symbols that their object files take from each other, because
includes do not show it.

Prints each offence as FILE:LINE, or the circle, and exits with 1 if there is one."""
import pathlib
import re
import subprocess
import sys

FLOORS = [
    ["base"],
    ["codec", "net", "netlink"],
    ["fetch", "web"],
    ["store", "api", "image", "oci", "cni"],
    ["pod"],
    ["apiserver", "controller", "scheduler", "kubelet", "proxy", "dns", "monitor", "scan", "os", "console"],
    ["cmd"],
]
MONITOR_FLOORS = [
    ["model", "page"],
    ["tsdb", "promql", "relabel", "expo"],
    ["config", "template", "promqltest"],
    ["discovery"],
    ["scrape", "rules", "notify", "remote", "otlp"],
    ["web"],
    ["parts"],
    ["tool"],
]
NO_CIRCLES = ["apiserver"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_/]+)/[^"/]+"')


def numbered(floors):
    return {folder: n for n, floor in enumerate(floors) for folder in floor}


FLOOR_OF, MONITOR_FLOOR_OF = numbered(FLOORS), numbered(MONITOR_FLOORS)


def offence(own, to):
    """Why a file of the folder `own` (a list of parts) may not include from `to`; empty when it may."""
    if to[0] != own[0]:
        if to[0] in FLOOR_OF and FLOOR_OF[to[0]] >= FLOOR_OF[own[0]]:
            return f"{own[0]} may not include {to[0]}/: it is not on a lower floor"
    elif own[0] == "monitor" and len(own) > 1 and len(to) > 1 and to[1] != own[1]:
        for folder in (own[1], to[1]):
            if folder not in MONITOR_FLOOR_OF:
                return f"folder 'monitor/{folder}' is on no floor"
        if MONITOR_FLOOR_OF[to[1]] >= MONITOR_FLOOR_OF[own[1]]:
            return f"monitor/{own[1]} may not include monitor/{to[1]}/: it is not on a lower floor"
    return ""


def needs(folder, build):
    """Which object files of the folder's library take symbols from which: {file: {file: symbol}}."""
    defined, undefined = {}, []
    objects = sorted(pathlib.Path(build, "src", folder, f"lib{folder}.a.p").glob("*.o"))
    objects = [path for path in objects if pathlib.Path("src", folder, path.stem).exists()]
    for path in objects:
        for line in subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout.splitlines():
            *_, kind, symbol = line.split()
            if kind in "TDBRVW":
                defined[symbol] = path.stem
            elif kind == "U":
                undefined.append((path.stem, symbol))
    graph = {path.stem: {} for path in objects}
    for file, symbol in undefined:
        if symbol in defined:
            graph[file].setdefault(defined[symbol], symbol)
    return graph


def circle(graph):
    """A circle of files, as a list that begins and ends with the same one; empty when there is none."""
    done, path = set(), []

    def visit(file):
        if file in path:
            return path[path.index(file):] + [file]
        if file in done:
            return []
        path.append(file)
        for other in graph[file]:
            found = visit(other)
            if found:
                return found
        path.pop()
        done.add(file)
        return []

    for file in graph:
        found = visit(file)
        if found:
            return found
    return []


def report_circles(build):
    bad = 0
    for folder in NO_CIRCLES:
        graph = needs(folder, build)
        found = circle(graph)
        if found:
            steps = [f"{a} needs {graph[a][b]} of {b}" for a, b in zip(found, found[1:])]
            print(f"src/{folder}: a circle of files: " + ", ".join(steps))
            bad += 1
    return bad


def main():
    bad = report_circles(sys.argv[1]) if len(sys.argv) > 1 else 0
    for path in sorted(pathlib.Path("src").rglob("*.[ch]*")):
        own = path.parts[1:-1]
        if own[0] not in FLOOR_OF:
            print(f"{path}: folder '{own[0]}' is on no floor")
            bad += 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            why = offence(own, found.group(1).split("/")) if found else ""
            if why:
                print(f"{path}:{number}: {why}")
                bad += 1
    return 1 if bad else 0


sys.exit(main())
