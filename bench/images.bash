# images.bash - a root filesystem's layer and an image of five, for the programs of this folder that measure images. Sourced
# by those, which set BUILD; everything lies in TMP, which goes with the program.

TMP=$(mktemp -d /tmp/knarr-bench-XXXXXX)
ENDS=()
images_end() {
    for pid in "${ENDS[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    rm -rf "$TMP"
}
trap images_end EXIT

have() { command -v "$1" >/dev/null; }

# rootfs_layer MB FILE: a gzip'ed tar of about MB megabytes of this machine's own programs and libraries, which is what
# layers of Debian hold.
rootfs_layer() {
    local list="$TMP/list"
    (cd / && find usr/bin usr/lib usr/share usr/sbin -xdev -type f -size -8M ! -path '*/dri/*' -printf '%s %p\n' 2>/dev/null) |
        sort -k 2 | awk -v want="$(($1 * 1024 * 1024 * 5 / 2))" '{ if (sum < want) { sum += $1; print $2 } }' >"$list"
    tar -C / -cf - --no-recursion -T "$list" 2>/dev/null | gzip -6 >"$2"
}

# layout DIR LAYER…: an OCI layout with an image "bench:1" of these layers.
layout() { python3 - "$@" <<'EOF'
import gzip, hashlib, json, os, shutil, sys
out, layers = sys.argv[1], sys.argv[2:]
os.makedirs(out + "/blobs/sha256")
def digest_of(f):
    h = hashlib.sha256()
    while data := f.read(1 << 20):
        h.update(data)
    return "sha256:" + h.hexdigest()
def put(data):
    d = "sha256:" + hashlib.sha256(data).hexdigest()
    open(out + "/blobs/sha256/" + d[7:], "wb").write(data)
    return {"digest": d, "size": len(data)}
kind, rows, ids = "application/vnd.oci.image.", [], []
for path in layers:
    with open(path, "rb") as f:
        d = digest_of(f)
    with gzip.open(path) as f:
        ids.append(digest_of(f))
    shutil.copy(path, out + "/blobs/sha256/" + d[7:])
    rows.append({"mediaType": kind + "layer.v1.tar+gzip", "digest": d, "size": os.path.getsize(path)})
config = put(json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}).encode())
manifest = put(json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "layers": rows,
                           "config": {"mediaType": kind + "config.v1+json", **config}}).encode())
json.dump({"schemaVersion": 2, "manifests": [{"mediaType": kind + "manifest.v1+json", **manifest,
          "annotations": {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/bench:1"}}]}, open(out + "/index.json", "w"))
open(out + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
EOF
}

# best N COMMAND…: the shortest wall time of N runs in milliseconds; before each, what BEFORE names is called.
best() {
    local n=$1 least=999999999 begin took i
    shift
    for ((i = 0; i < n; i++)); do
        "$BEFORE"
        sync
        begin=$(date +%s%N)
        "$@" >/dev/null 2>"$TMP/said" || { cat "$TMP/said" >&2; exit 1; }
        took=$((($(date +%s%N) - begin) / 1000000))
        [ "$took" -ge "$least" ] || least=$took
    done
    echo "$least"
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
