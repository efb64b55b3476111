#!/bin/bash
# bench/unpack.sh [BUILD [MB [RUNS]]] - unpacking one layer of MB (120) megabytes into a cold store, by `knarr image import`
# (which checks both digests, and is durable), beside `umoci unpack`, and beside `tar xzf` and `sync -f`, which check nothing.
# The files are in the page cache. Root.
set -eu
cd "$(dirname "$0")/.."
BUILD="$PWD/${1:-build}"
source bench/images.bash
runs=${3:-3}
rootfs_layer "${2:-120}" "$TMP/layer.tar.gz"
layout "$TMP/layout" "$TMP/layer.tar.gz"
echo "one layer: $(($(stat -c %s "$TMP/layer.tar.gz") / 1000000)) MB, $(tar tzf "$TMP/layer.tar.gz" | wc -l) files"

cold() { rm -rf "$TMP/store" "$TMP/out"; mkdir -p "$TMP/store" "$TMP/out"; }
BEFORE=cold
by_knarr() { "$BUILD/src/cmd/knarr-image" import "oci:$TMP/layout" --data-dir "$TMP/store"; }
by_tar() { tar -C "$TMP/out" -xzf "$TMP/layer.tar.gz" && sync -f "$TMP/out"; }
by_umoci() { umoci unpack --image "$TMP/layout:1" "$TMP/out/bundle"; }

knarr=$(best "$runs" by_knarr)
tar=$(best "$runs" by_tar)
echo "knarr image import:   $knarr ms"
echo "tar xzf and sync -f:  $tar ms, knarr takes $(ratio "$knarr" "$tar") of it (bar 1.3)"
if have umoci; then
    umoci=$(best "$runs" by_umoci)
    echo "umoci unpack:         $umoci ms, $(ratio "$umoci" "$knarr") times knarr's (bar 2)"
fi
