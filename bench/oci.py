"""oci.py FOLDER ROUNDS RUNTIME… - the measuring part of bench/oci.sh."""
import os
import re
import resource
import shutil
import subprocess
import sys
import time

folder, rounds, runtimes = sys.argv[1], int(sys.argv[2]), [r for r in sys.argv[3:] if shutil.which(r)]
bundle = os.path.join(folder, "b")


def run(*argv):
    subprocess.run(argv, cwd=bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60)


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def peak(*argv):  # of the command, in KiB; measured by a small program, since a process begins with the size of its maker
    subprocess.run(("busybox", "time", "-v", *argv), cwd=bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=open(os.path.join(folder, "time"), "w"), check=True)
    text = open(os.path.join(folder, "time")).read()
    return int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", text).group(1)) // 4  # busybox takes KiB for pages of 4 KiB


def config(name):
    shutil.copy(os.path.join(bundle, name + ".json"), os.path.join(bundle, "config.json"))


def life(runtime, name):
    root = ("--root", os.path.join(folder, "state-" + os.path.basename(runtime)))
    run(runtime, *root, "create", name)
    run(runtime, *root, "start", name)
    while True:  # delete wants it to have ended
        r = subprocess.run((runtime, *root, "delete", name), stderr=subprocess.DEVNULL)
        if r.returncode == 0:
            return


figures = {r: {"life": [], "exec": [], "cpu": 0.0, "exec cpu": 0.0, "peak": 0} for r in runtimes}
config("true")
for n in range(rounds + 3):  # the first three warm up
    for r in runtimes:
        before, start = cpu(), time.monotonic()
        life(r, f"bench{n}-" + os.path.basename(r))
        if n >= 3:
            figures[r]["life"].append(time.monotonic() - start)
            figures[r]["cpu"] += cpu() - before
for r in runtimes:
    config("sleep")
    root = ("--root", os.path.join(folder, "state-" + os.path.basename(r)))
    os.chdir(bundle)
    figures[r]["peak"] = peak(r, *root, "create", "held-" + os.path.basename(r))
    run(r, *root, "start", "held-" + os.path.basename(r))
for n in range(rounds + 3):
    for r in runtimes:
        before, start = cpu(), time.monotonic()
        run(r, "--root", os.path.join(folder, "state-" + os.path.basename(r)), "exec",
            "held-" + os.path.basename(r), "/bin/true")
        if n >= 3:
            figures[r]["exec"].append(time.monotonic() - start)
            figures[r]["exec cpu"] += cpu() - before
for r in runtimes:
    run(r, "--root", os.path.join(folder, "state-" + os.path.basename(r)), "delete", "--force",
        "held-" + os.path.basename(r))

print(f"{'':12} {'create+start+delete':>20} {'CPU':>8} {'exec':>9} {'CPU':>8} {'peak of create':>15}")
for r in runtimes:
    f = figures[r]
    middle = [sorted(f[k])[rounds // 2] * 1000 for k in ("life", "exec")]
    print(f"{os.path.basename(r):12} {middle[0]:17.1f} ms {f['cpu'] / rounds * 1000:5.1f} ms {middle[1]:6.1f} ms "
          f"{f['exec cpu'] / rounds * 1000:5.1f} ms {f['peak']:11d} KiB")
