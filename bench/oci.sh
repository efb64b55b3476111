#!/bin/bash
# bench/oci.sh BUILD [ROUNDS] - what a container costs under knarr-oci, crun and runc, taken in turns in the same run: create,
# start and delete of busybox' `true` (the configuration of `runc spec`, no seccomp), and `exec` of it in a container that runs.
# Wall and CPU per container, and the largest resident size of the command. Root; ROUNDS is 40.
# crun refuses control groups of both versions beside each other: it runs where /sys/fs/cgroup/unified is not mounted.
set -eu
cd "$(dirname "$0")/.."
knarr=$PWD/${1:-build}/src/cmd/knarr-oci rounds=${2:-40}
ninja -C "${1:-build}" src/cmd/knarr-oci >/dev/null
T=$(mktemp -d /tmp/knarr-bench-XXXXXX)
trap 'rm -rf "$T"' EXIT
mkdir -p "$T/b/rootfs"/{bin,proc,sys,dev}
cp "$(command -v busybox)" "$T/b/rootfs/bin/busybox"
ln -s busybox "$T/b/rootfs/bin/true"
ln -s busybox "$T/b/rootfs/bin/sleep"
(cd "$T/b" && "$knarr" spec && jq '.ociVersion = "1.0.2" | .process.terminal = false | .process.args = ["true"]' config.json >true.json &&
    jq '.ociVersion = "1.0.2" | .process.terminal = false | .process.args = ["sleep", "1000"]' config.json >sleep.json)
export T rounds
unshare -m bash -euc '
umount /sys/fs/cgroup/unified 2>/dev/null || true
exec python3 bench/oci.py "$@"' bench "$T" "$rounds" "$knarr" crun runc
