#!/bin/bash
# bench/pull.sh [BUILD [MB [RUNS]]] - pulling five layers of MB (120) megabytes together from a registry on this machine into
# a cold store, unpacked, by `knarr image pull`, beside `skopeo copy` to a layout and `umoci unpack` of it. Root.
set -eu
cd "$(dirname "$0")/.."
BUILD="$PWD/${1:-build}"
source bench/images.bash
runs=${3:-3}
have docker-registry || { echo "docker-registry is not installed"; exit 0; }
rootfs_layer "${2:-120}" "$TMP/all.tar.gz"
mkdir "$TMP/rootfs"
tar -C "$TMP/rootfs" -xzf "$TMP/all.tar.gz"
(cd "$TMP/rootfs" && find . -type f | sort | split -n r/5 - "$TMP/part-")
layers=()
for part in "$TMP"/part-*; do
    tar -C "$TMP/rootfs" -cf - -T "$part" | gzip -6 >"$part.tar.gz"
    layers+=("$part.tar.gz")
done
layout "$TMP/layout" "${layers[@]}"
port=$((20000 + RANDOM % 20000))
cat >"$TMP/registry.yml" <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $TMP/registry}}
http: {addr: "127.0.0.1:$port"}
EOF
docker-registry serve "$TMP/registry.yml" >"$TMP/registry.log" 2>&1 &
ENDS+=("$!")
until curl -s -o /dev/null "http://127.0.0.1:$port/v2/"; do sleep 0.1; done
mkdir "$TMP/own"
"$BUILD/src/cmd/knarr-image" import "oci:$TMP/layout" --data-dir "$TMP/own" >/dev/null
image=127.0.0.1:$port/bench:1
: >"$TMP/registries.yaml"
"$BUILD/src/cmd/knarr-image" push --quiet bench:1 "$image" --data-dir "$TMP/own" --registries "$TMP/registries.yaml" >/dev/null
echo "five layers: $(du -cb "${layers[@]}" | awk 'END { print int($1 / 1000000) }') MB, $(find "$TMP/rootfs" -type f | wc -l) files"

cold() { rm -rf "$TMP/store" "$TMP/out"; mkdir -p "$TMP/store" "$TMP/out"; }
BEFORE=cold
by_knarr() { "$BUILD/src/cmd/knarr-image" pull --quiet "$image" --data-dir "$TMP/store" --registries "$TMP/registries.yaml"; }
by_skopeo() {
    skopeo copy -q --src-tls-verify=false "docker://$image" "oci:$TMP/out/layout:1"
    umoci unpack --image "$TMP/out/layout:1" "$TMP/out/bundle"
}

knarr=$(best "$runs" by_knarr)
echo "knarr image pull:             $knarr ms"
if have skopeo && have umoci; then
    skopeo=$(best "$runs" by_skopeo)
    echo "skopeo copy and umoci unpack: $skopeo ms, $(ratio "$skopeo" "$knarr") times knarr's (bar 1.5)"
fi
